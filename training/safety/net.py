"""The classifier as torch sees it while it learns: an encoder, low-rank changes, a small head.

Every layer from `Shape.first` on learns a low-rank change; what is below stays
as published. Only the changes and the head are shipped. Serving does the same
arithmetic in 8 bits, a text at a time (bot/safety/encoder.py). Knows nothing of data, thresholds
or tokens' meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bot.safety.checkpoints import FILE, KINDS, epsilon, published, relative
from bot.safety.encoder import HEADS, Tokens

_CPU = torch.device("cpu")
LEVELS = 3  # at least a concern, at least high, imminent


@dataclass(frozen=True, slots=True)
class Shape:
    """What the manifest must repeat to load the weights again."""

    rank: int = 16
    first: int = 0  # layers below this one stay as published
    scale: float = 2.0
    hidden: int = 128
    categories: int = 9


class LowRank(nn.Module):
    """A frozen linear layer and a learned change of low rank."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.scale = shape.scale
        self.down = nn.Parameter(torch.randn(shape.rank, weight.shape[1]) / weight.shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], shape.rank))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        flat = x.reshape(-1, x.shape[-1])
        up = self.scale * self.up
        out: Tensor = _Changed.apply(flat, self.weight, self.bias, self.down, up)  # type: ignore[no-untyped-call]
        return out.view(*x.shape[:-1], -1)


class _Changed(torch.autograd.Function):
    """x W' + b + (x down') up', without a pass over memory for each of its sums."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, down: Tensor, up: Tensor
    ) -> Tensor:
        inner = x @ down.T
        ctx.save_for_backward(x, inner, weight, down, up)
        return torch.addmm(bias, x, weight.T).addmm_(inner, up.T)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, weight, down, up = ctx.saved_tensors
        between = given @ up
        to_x = (given @ weight).addmm_(between, down) if ctx.needs_input_grad[0] else None
        return to_x, None, None, between.T @ x, given.T @ inner


class Layer(nn.Module):
    """One layer of BERT. Without a `shape` nothing in it learns."""

    query: nn.Module
    key: nn.Module
    value: nn.Module
    out: nn.Module
    up: nn.Module
    down: nn.Module

    def __init__(
        self, w: Mapping[str, Tensor], name: str, shape: Shape | None, drop: float
    ) -> None:
        super().__init__()
        self.dropout, self.epsilon = nn.Dropout(drop), epsilon(w)
        parts = {"query": "attention.self.query", "key": "attention.self.key",
                 "value": "attention.self.value", "out": "attention.output.dense",
                 "up": "intermediate.dense", "down": "output.dense"}  # fmt: skip
        self.names = {part: f"{name}{where}" for part, where in parts.items()}
        for part, full in self.names.items():
            pair = w[f"{full}.weight"], w[f"{full}.bias"]
            setattr(self, part, LowRank(*pair, shape) if shape else _Frozen(*pair))
        self.norms = [
            (w[f"{name}{where}.weight"], w[f"{name}{where}.bias"])
            for where in ("attention.output.LayerNorm", "output.LayerNorm")
        ]

    def forward(self, hidden: Tensor, seeing: Tensor) -> Tensor:
        """`hidden` [texts, tokens, width]; `seeing` joins the scores, or marks no padding."""
        rows, length, width = hidden.shape

        def split(x: Tensor) -> Tensor:
            return x.view(rows, length, HEADS, width // HEADS).transpose(1, 2)

        seen = functional.scaled_dot_product_attention(
            split(self.query(hidden)), split(self.key(hidden)), split(self.value(hidden)),
            attn_mask=seeing,
        )  # fmt: skip
        seen = self.out(seen.transpose(1, 2).reshape(rows, length, width))
        hidden = _norm(hidden + self.dropout(seen), self.norms[0], self.epsilon)
        inner = functional.gelu(self.up(hidden))
        return _norm(hidden + self.dropout(self.down(inner)), self.norms[1], self.epsilon)


class Net(nn.Module):
    """Token ids to logits: LEVELS cumulative levels, then the categories."""

    def __init__(self, w: Mapping[str, Tensor], shape: Shape, drop: float = 0.1) -> None:
        super().__init__()
        self.shape, self.weights = shape, w
        count = len({name.split(".")[2] for name in w if name.startswith("encoder.layer.")})
        self.encoder = [
            Layer(w, f"encoder.layer.{i}.", shape if i >= shape.first else None, drop)
            for i in range(count)
        ]
        self.layers = nn.ModuleList(self.encoder)  # so that torch finds what learns
        width = w["embeddings.LayerNorm.weight"].shape[0]
        self.dropout = nn.Dropout(drop)
        self.earlier = nn.Parameter(torch.zeros(width))  # marks what was said before
        self.first = nn.Linear(2 * width, shape.hidden)
        self.second = nn.Linear(shape.hidden, LEVELS + shape.categories)

    def forward(self, ids: Tensor, own: Tensor) -> Tensor:
        """`ids` [texts, tokens] with 0 as padding, `own` marks the newest message's tokens."""
        real = ids != 0
        hidden = self._embedded(ids, own | ~real)
        seeing = self._seeing(real)
        for layer in self.encoder:
            hidden = layer(hidden, seeing)
        inside = own[..., None]
        mean = (hidden * inside).sum(1) / inside.sum(1)
        most = hidden.masked_fill(~inside, -1e4).amax(1)
        inner = self.first(self.dropout(torch.cat([mean, most], 1)))
        logits: Tensor = self.second(self.dropout(functional.gelu(inner)))
        return logits

    def _seeing(self, real: Tensor) -> Tensor:
        apart, mask = relative(self.weights, real.shape[1]), real[:, None, None, :]
        return mask if apart is None else apart.masked_fill(~mask, -1e4)

    def _embedded(self, ids: Tensor, newest: Tensor) -> Tensor:
        w = self.weights
        hidden = (
            w["embeddings.word_embeddings.weight"][ids]
            + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + w[KINDS][(~newest).long()]
            + (~newest)[..., None] * self.earlier
        )
        pair = w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"]
        return _norm(hidden, pair, epsilon(w))

    def changes(self) -> Iterator[tuple[str, LowRank]]:
        """What learns in the encoder, by the checkpoint's names."""
        for layer in self.encoder[self.shape.first :]:
            for part, name in layer.names.items():
                yield name, getattr(layer, part)


class _Frozen(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


def build(folder: Path, shape: Shape, drop: float = 0.1, device: torch.device = _CPU) -> Net:
    """The published encoder with fresh low-rank changes and a fresh head."""
    weights = published(folder / FILE, device=str(device))
    return Net(weights, shape, drop).to(device)


def batch(rows: Sequence[Tokens], device: torch.device = _CPU) -> tuple[Tensor, Tensor]:
    """`ids` and `own`, padded to the longest."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    own = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        own[i, row.start : len(row.ids)] = True
    return ids.to(device), own.to(device)


def _norm(x: Tensor, pair: tuple[Tensor, Tensor], epsilon: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], *pair, eps=epsilon)
