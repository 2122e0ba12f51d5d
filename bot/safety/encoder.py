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
from torch import Tensor
from torch.nn import functional

from bot.safety.checkpoints import KINDS, epsilon, relative
from bot.safety.products import product

HEADS = 12
Norm = tuple[Tensor, Tensor]


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
        self._norm = w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"]
        count = len({name.split(".")[2] for name in w if name.startswith("encoder.layer.")})
        self._layers = [_Layer(w, reach, f"encoder.layer.{i}.") for i in range(count)]
        self._epsilon, self._apart = epsilon(w), relative(w, len(self._places))

    def pooled(self, text: Tokens) -> Tensor:
        """Mean and maximum over the text's own tokens: [2 x width]."""
        hidden, tokens = self._embedded(text), len(text.ids)
        apart = None if self._apart is None else self._apart[:, :tokens, :tokens]
        for layer in self._layers[:-1]:
            hidden = layer(hidden, apart)
        own = self._layers[-1](hidden, apart, text.start)  # what stands before it is not pooled
        return torch.cat([own.mean(0), own.amax(0)])

    def _embedded(self, text: Tokens) -> Tensor:
        kinds = (torch.arange(len(text.ids)) < text.start).long()
        hidden = self._words[list(text.ids)] + self._places[: len(text.ids)] + self._kinds[kinds]
        return _normed(hidden, self._norm, self._epsilon)


class _Layer:
    """Attention and feed-forward, each added to its input and normed."""

    def __init__(self, w: Mapping[str, Tensor], reach: Mapping[str, Tensor], name: str) -> None:
        heads = f"{name}attention.self"
        query, *pair = (f"{heads}.{part}" for part in ("query", "key", "value"))
        scale = (w[f"{query}.weight"].shape[0] // HEADS) ** -0.5  # of scores, once for all
        seen = reach.get(heads)
        self._query = product(w[f"{query}.weight"] * scale, w[f"{query}.bias"] * scale, seen)
        self._pair = product(
            torch.cat([w[f"{part}.weight"] for part in pair]),
            torch.cat([w[f"{part}.bias"] for part in pair]),
            seen,
        )
        self._out, self._up, self._down = (
            product(w[f"{name}{part}.weight"], w[f"{name}{part}.bias"], reach.get(name + part))
            for part in ("attention.output.dense", "intermediate.dense", "output.dense")
        )
        self._epsilon = epsilon(w)
        self._norms: list[Norm] = [
            (w[f"{name}{part}.weight"], w[f"{name}{part}.bias"])
            for part in ("attention.output.LayerNorm", "output.LayerNorm")
        ]

    def __call__(self, hidden: Tensor, apart: Tensor | None = None, first: int = 0) -> Tensor:
        """The tokens from `first` on, having seen all: [tokens, width]. `apart` joins scores."""
        tokens, width = hidden.shape
        kept = hidden[first:]
        query = self._query(kept).view(-1, HEADS, width // HEADS).transpose(0, 1)
        key, value = self._pair(hidden).view(tokens, 2, HEADS, -1).permute(1, 2, 0, 3)
        scores = torch.bmm(query, key.transpose(1, 2))
        if apart is not None:
            scores = scores + apart[:, first:]
        seen = torch.bmm(scores.softmax(-1), value).transpose(0, 1).reshape(-1, width)
        kept = _normed(kept + self._out(seen), self._norms[0], self._epsilon)
        inner = self._down(functional.gelu(self._up(kept)))
        return _normed(kept + inner, self._norms[1], self._epsilon)


def _normed(x: Tensor, norm: Norm, epsilon: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], *norm, eps=epsilon)
