"""A BERT encoder: token ids in, one vector for each text out.

Low-rank changes that training made
are added to the weights once, at loading; large products are products.py's.
Knows nothing of risk, words or thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from bot.safety.checkpoints import KINDS, epsilon, relative
from bot.safety.products import product
from bot.safety.traced import traced

HEADS = 12


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text. `ids` begin with [CLS]; the text itself is `ids[start:]`.

    What stands before `start` is context: it is read, but not pooled.
    """

    ids: tuple[int, ...]
    start: int = 0


class Encoder:
    """`weights` are named as in the published checkpoint, float32.

    `reach` says how large inputs of the products get, by the names of what they go into;
    without it products are in fp32.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], reach: Mapping[str, Tensor] = MappingProxyType({})
    ) -> None:
        w = weights
        self._words = w["embeddings.word_embeddings.weight"]
        self._places = w["embeddings.position_embeddings.weight"]
        self._kinds = w[KINDS]
        self._norm = _norm(w, "embeddings.LayerNorm")
        self._apart = relative(w, len(self._places))
        layers = _Layers(w, reach, within=self._apart is not None)
        some = [Tokens(tuple(range(n)), start) for n, start in ((5, 2), (9, 0))]
        self._run = traced(layers, *(self._given(text) for text in some))

    def pooled(self, text: Tokens) -> Tensor:
        """Mean and maximum over the text's own tokens: [2 x width]."""
        return self._run(*self._given(text))

    def _given(self, text: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        tokens, start = len(text.ids), torch.tensor(text.start)
        kinds = (torch.arange(tokens) < start).long()
        hidden = self._words[list(text.ids)] + self._places[:tokens] + self._kinds[kinds]
        apart = torch.zeros(0) if self._apart is None else self._apart[:, :tokens, :tokens]
        return self._norm(hidden), apart, start


class _Layers(nn.Module):
    """Embedded tokens in, one vector out. `within`: how far apart two tokens stand counts."""

    def __init__(self, w: Mapping[str, Tensor], reach: Mapping[str, Tensor], within: bool) -> None:
        super().__init__()
        count = len({name.split(".")[2] for name in w if name.startswith("encoder.layer.")})
        names = [f"encoder.layer.{i}." for i in range(count)]
        self.layers = nn.ModuleList(_Layer(w, reach, name, within) for name in names)

    def forward(self, hidden: Tensor, apart: Tensor, start: Tensor) -> Tensor:
        whole = torch.zeros_like(start)
        for layer in self.layers[:-1]:
            hidden = layer(hidden, apart, whole)
        own = self.layers[-1](hidden, apart, start)  # what stands before it is not pooled
        return torch.cat([own.mean(0), own.amax(0)])


class _Layer(nn.Module):
    """Attention and feed-forward, each added to its input and normed."""

    def __init__(
        self, w: Mapping[str, Tensor], reach: Mapping[str, Tensor], name: str, within: bool
    ) -> None:
        super().__init__()
        self.within = within
        heads = f"{name}attention.self"
        query, *pair = (f"{heads}.{part}" for part in ("query", "key", "value"))
        scale = (w[f"{query}.weight"].shape[0] // HEADS) ** -0.5  # of scores, once for all
        seen = reach.get(heads)
        self.query = product(w[f"{query}.weight"] * scale, w[f"{query}.bias"] * scale, seen)
        self.pair = product(
            torch.cat([w[f"{part}.weight"] for part in pair]),
            torch.cat([w[f"{part}.bias"] for part in pair]),
            seen,
        )
        self.out, self.up, self.down = (
            product(w[f"{name}{part}.weight"], w[f"{name}{part}.bias"], reach.get(name + part))
            for part in ("attention.output.dense", "intermediate.dense", "output.dense")
        )
        self.seen_norm = _norm(w, f"{name}attention.output.LayerNorm")
        self.norm = _norm(w, f"{name}output.LayerNorm")

    def forward(self, hidden: Tensor, apart: Tensor, first: Tensor) -> Tensor:
        """The tokens from `first` on, having seen all: [tokens, width]. `apart` joins scores."""
        tokens, width = hidden.shape
        kept = hidden[first:]
        query = self.query(kept).view(-1, HEADS, width // HEADS).transpose(0, 1)
        key, value = self.pair(hidden).view(tokens, 2, HEADS, -1).permute(1, 2, 0, 3)
        scores = torch.bmm(query, key.transpose(1, 2))
        if self.within:
            scores = scores + apart[:, first:]
        seen = torch.bmm(scores.softmax(-1), value).transpose(0, 1).reshape(-1, width)
        kept = self.seen_norm(kept + self.out(seen))
        inner: Tensor = self.norm(kept + self.down(functional.gelu(self.up(kept))))
        return inner


def _norm(w: Mapping[str, Tensor], name: str) -> nn.LayerNorm:
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    norm = nn.LayerNorm(len(weight), eps=epsilon(w)).requires_grad_(requires_grad=False)
    norm.load_state_dict({"weight": weight, "bias": bias})
    return norm
