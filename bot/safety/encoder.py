"""A small BERT encoder in NumPy: token ids in, one vector for each text out.

Serves the classifier without torch: 6 layers, 384 wide, about 10 ms for a
message on one core. Low-rank changes that training made are added to the
weights once, at loading. Knows nothing of risk, words or thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
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
    """`weights` are named as in the published checkpoint, float32."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        w = weights
        self._words = w["embeddings.word_embeddings.weight"]
        self._places = w["embeddings.position_embeddings.weight"]
        self._kinds = w["embeddings.token_type_embeddings.weight"]
        self._norm = w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"]
        count = len({name.split(".")[2] for name in w if name.startswith("encoder.layer.")})
        self._layers = [_Layer(w, f"encoder.layer.{i}.") for i in range(count)]

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
        hidden = self._hidden(ids, own | ~real, real)
        mean = (hidden * own[..., None]).sum(1) / own.sum(1, keepdims=True)
        most = np.where(own[..., None], hidden, np.float32(-1e4)).max(1)
        return np.concatenate([mean, most], axis=1).astype(np.float32)

    def _hidden(self, ids: Any, newest: Any, real: Any) -> Array:
        kinds = self._kinds[np.where(newest, 0, 1)]
        hidden = self._words[ids] + self._places[: ids.shape[1]] + kinds
        hidden = _normed(hidden, *self._norm)
        mask = np.where(real, np.float32(0), np.float32(-1e4))[:, None, None, :]
        for layer in self._layers:
            hidden = layer(hidden, mask)
        return hidden


class _Layer:
    """Attention and feed-forward, each added to its input and normed."""

    def __init__(self, w: Mapping[str, Array], name: str) -> None:
        parts = [f"{name}attention.self.{part}" for part in ("query", "key", "value")]
        self._qkv = np.concatenate([w[f"{part}.weight"] for part in parts]).T.copy()
        self._qkv_bias = np.concatenate([w[f"{part}.bias"] for part in parts])
        self._out = _linear(w, f"{name}attention.output.dense")
        self._up = _linear(w, f"{name}intermediate.dense")
        self._down = _linear(w, f"{name}output.dense")
        self._norms = [
            (w[f"{name}{part}.weight"], w[f"{name}{part}.bias"])
            for part in ("attention.output.LayerNorm", "output.LayerNorm")
        ]

    def __call__(self, hidden: Array, mask: Array) -> Array:
        rows, length, width = hidden.shape
        qkv = hidden.reshape(-1, width) @ self._qkv + self._qkv_bias
        query, key, value = qkv.reshape(rows, length, 3, HEADS, width // HEADS).transpose(
            2, 0, 3, 1, 4
        )
        scores = query @ key.swapaxes(-1, -2) * np.float32((width // HEADS) ** -0.5) + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(-1, width)
        flat = hidden.reshape(-1, width)
        flat = _normed(flat + seen @ self._out[0] + self._out[1], *self._norms[0])
        inner = gelu(flat @ self._up[0] + self._up[1])
        flat = _normed(flat + inner @ self._down[0] + self._down[1], *self._norms[1])
        return flat.reshape(rows, length, width)


def gelu(x: Array) -> Array:
    """The tanh form; training uses the same."""
    inner = np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (1 + np.tanh(inner))


def _linear(w: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    return w[f"{name}.weight"].T.copy(), w[f"{name}.bias"]


def _normed(x: Array, weight: Array, bias: Array) -> Array:
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(_EPSILON))
    return x * weight + bias
