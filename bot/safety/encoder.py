"""A small BERT encoder in NumPy: token ids in, one vector for each text out.

Serves the classifier: 6 layers, 384 wide. Low-rank changes that training made
are added to the weights once, at loading; large products are products.py's.
Knows nothing of risk, words or thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bot.safety.products import Array, product

HEADS = 12
_EPSILON = 1e-12


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
        self, weights: Mapping[str, Array], reach: Mapping[str, Array] = MappingProxyType({})
    ) -> None:
        w = weights
        self._words = w["embeddings.word_embeddings.weight"]
        self._places = w["embeddings.position_embeddings.weight"]
        self._kinds = w["embeddings.token_type_embeddings.weight"]
        self._norm = w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"]
        count = len({name.split(".")[2] for name in w if name.startswith("encoder.layer.")})
        self._layers = [_Layer(w, reach, f"encoder.layer.{i}.") for i in range(count)]

    def pooled(self, texts: Sequence[Tokens]) -> Array:
        """Mean and maximum over each text's own tokens: [texts, 2 x width]."""
        longest = max(len(text.ids) for text in texts)
        ids = np.zeros((len(texts), longest), dtype=np.int64)
        real = np.zeros((len(texts), longest), dtype=bool)
        own = np.zeros((len(texts), longest), dtype=bool)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = text.ids
            real[row, : len(text.ids)] = True
            own[row, text.start : len(text.ids)] = True
        first = min(text.start for text in texts)  # nothing before it is pooled
        hidden, own = self._hidden(ids, own | ~real, real, first), own[:, first:]
        mean = (hidden * own[..., None]).sum(1) / own.sum(1, keepdims=True)
        most = np.where(own[..., None], hidden, np.float32(-1e4)).max(1)
        return np.concatenate([mean, most], axis=1).astype(np.float32)

    def _hidden(self, ids: Any, newest: Any, real: Any, first: int) -> Array:
        """What the last layer makes of the tokens from `first` on."""
        kinds = self._kinds[np.where(newest, 0, 1)]
        hidden = self._words[ids] + self._places[: ids.shape[1]] + kinds
        hidden = _normed(hidden, *self._norm)
        mask = None
        if not real.all():
            mask = np.where(real, np.float32(0), np.float32(-1e4))[:, None, None, :]
        for layer in self._layers[:-1]:
            hidden = layer(hidden, mask)
        return self._layers[-1](hidden, mask, first)


class _Layer:
    """Attention and feed-forward, each added to its input and normed."""

    def __init__(self, w: Mapping[str, Array], reach: Mapping[str, Array], name: str) -> None:
        heads = f"{name}attention.self"
        query, *pair = (f"{heads}.{part}" for part in ("query", "key", "value"))
        width = w[f"{query}.weight"].shape[0]
        scale = np.float32((width // HEADS) ** -0.5)  # of the scores, once and not each time
        seen = reach.get(heads)
        self._query = product(w[f"{query}.weight"].T * scale, w[f"{query}.bias"] * scale, seen)
        self._pair = product(
            np.concatenate([w[f"{part}.weight"] for part in pair]).T,
            np.concatenate([w[f"{part}.bias"] for part in pair]),
            seen,
        )
        self._out, self._up, self._down = (
            product(w[f"{name}{part}.weight"].T, w[f"{name}{part}.bias"], reach.get(name + part))
            for part in ("attention.output.dense", "intermediate.dense", "output.dense")
        )
        self._norms = [
            (w[f"{name}{part}.weight"], w[f"{name}{part}.bias"])
            for part in ("attention.output.LayerNorm", "output.LayerNorm")
        ]

    def __call__(self, hidden: Array, mask: Array | None, first: int = 0) -> Array:
        """The tokens from `first` on, having seen all."""
        rows, length, width = hidden.shape
        size = width // HEADS
        kept = hidden[:, first:]
        flat = kept.reshape(-1, width)
        query = self._query(flat).reshape(rows, -1, HEADS, size).swapaxes(1, 2)
        pair = self._pair(hidden.reshape(-1, width))
        key, value = pair.reshape(rows, length, 2, HEADS, size).transpose(2, 0, 3, 1, 4)
        scores = query @ key.swapaxes(-1, -2)
        if mask is not None:
            scores += mask
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        seen = (scores @ value).swapaxes(1, 2).reshape(-1, width)
        seen = self._out(seen)
        seen += flat
        flat = _normed(seen, *self._norms[0])
        inner = self._down(gelu(self._up(flat)))
        inner += flat
        return _normed(inner, *self._norms[1]).reshape(kept.shape)


def gelu(x: Array) -> Array:
    """The tanh form, as training uses it, written with one exponential; `x` is used up."""
    inner = x * x
    inner *= np.float32(-2 * 0.7978845608 * 0.044715)
    inner -= np.float32(2 * 0.7978845608)
    inner *= x
    np.minimum(inner, np.float32(80), out=inner)  # beyond it, the answer is nothing anyway
    np.exp(inner, out=inner)
    inner += np.float32(1)
    x /= inner
    return x


def _normed(x: Array, weight: Array, bias: Array) -> Array:
    """`x` is used up."""
    x -= x.mean(-1, keepdims=True)
    spread = np.einsum("...i,...i->...", x, x)[..., None]
    spread /= np.float32(x.shape[-1])
    spread += np.float32(_EPSILON)
    x /= np.sqrt(spread, out=spread)
    x *= weight
    x += bias
    return x
