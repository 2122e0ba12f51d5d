"""Falcon's dimensions, and which Falcons the fast decoder can serve.

Knows a model's configuration; knows nothing of weights, devices or slots.

The architecture is that of Falcon-7B: one LayerNorm a layer feeds attention and
MLP side by side, many query heads share one key/value head of 64, no biases,
rotary positions. Two matrices make up a layer:

    W1  hidden → qkv + 4·hidden         query_key_value over dense_h_to_4h
    W2  hidden + 4·hidden → hidden      dense beside dense_4h_to_h
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.types import ModelUnavailable

HEAD = 64  # width of a head that the kernels are written for
TILE = 32  # rows of a matrix that one warp works on
BLOCK = 64  # weights that share a scale


@dataclass(frozen=True, slots=True)
class Shape:
    """What the decoder must know of a Falcon; all counts are of elements."""

    hidden: int
    heads: int
    layers: int
    vocabulary: int
    epsilon: float = 1e-5
    rope_base: float = 10000.0

    @property
    def qkv(self) -> int:
        """Rows of query_key_value: every query head, one key and one value head."""
        return self.hidden + 2 * HEAD

    @property
    def mlp(self) -> int:
        """Width of the MLP."""
        return 4 * self.hidden

    @property
    def rows1(self) -> int:
        """Rows of W1."""
        return self.qkv + self.mlp

    @property
    def cols2(self) -> int:
        """Columns of W2."""
        return self.hidden + self.mlp


def shape_of(config: Any) -> Shape:
    """The shape that a transformers configuration describes; raises ModelUnavailable."""
    wanted = {
        "model_type": "falcon",
        "multi_query": True,
        "parallel_attn": True,
        "new_decoder_architecture": False,
        "bias": False,
        "alibi": False,
    }
    odd = [key for key, value in wanted.items() if getattr(config, key, None) != value]
    hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
    ffn = getattr(config, "ffn_hidden_size", None) or 4 * hidden
    if odd or hidden != heads * HEAD or hidden % (2 * TILE) or ffn != 4 * hidden:
        raise ModelUnavailable(
            "The fast decoder serves models of Falcon-7B's architecture; this one differs in "
            f"{', '.join(odd) or 'its sizes'}."
        )
    return Shape(
        hidden=hidden,
        heads=heads,
        layers=int(config.num_hidden_layers),
        vocabulary=int(config.vocab_size),
        epsilon=float(config.layer_norm_epsilon),
        rope_base=rope_base(config),
    )


def rope_base(config: Any) -> float:
    """The rotary base, wherever this release of transformers keeps it."""
    parameters = getattr(config, "rope_parameters", None) or {}
    found: Any = parameters.get("rope_theta") or getattr(config, "rope_theta", None)
    return float(found or 10000.0)
