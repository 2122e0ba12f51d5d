"""The sizes of a Llama, which of its matrices are fused, and whether this decoder knows it.

Knows a transformers config; knows nothing of weights or slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

# A fused matrix and the modules whose rows it stacks.
PARTS = {
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "out": ("o_proj",),
    "gate_up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """`head` is the size of one head; `groups` the key/value heads; `parts` [outputs, inputs]."""

    layers: int
    hidden: int
    heads: int
    groups: int
    head: int
    inner: int
    epsilon: float

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """Every matrix that an adapter may touch."""
        wide, narrow = self.heads * self.head, self.groups * self.head
        return {
            "q_proj": (wide, self.hidden),
            "k_proj": (narrow, self.hidden),
            "v_proj": (narrow, self.hidden),
            "o_proj": (self.hidden, wide),
            "gate_proj": (self.inner, self.hidden),
            "up_proj": (self.inner, self.hidden),
            "down_proj": (self.hidden, self.inner),
        }


def shape_of(config: Any) -> Shape | None:
    """The sizes, or None for a model that the reference decoder must take."""
    if config.model_type != "llama" or config.hidden_act != "silu":
        return None
    if getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False):
        return None
    heads = config.num_attention_heads
    return Shape(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=heads,
        groups=config.num_key_value_heads or heads,
        head=getattr(config, "head_dim", None) or config.hidden_size // heads,
        inner=config.intermediate_size,
        epsilon=config.rms_norm_eps,
    )


def paired(rows: torch.Tensor, head: int) -> torch.Tensor:
    """Rows of a q or k matrix, reordered so that the two that rotate together are neighbours.

    Llama rotates row i of a head with row i + head/2. Side by side they are one
    complex number, and the rotation one product; queries and keys are reordered
    alike, so their products stay as they were.
    """
    width = rows.shape[1]
    return rows.view(-1, 2, head // 2, width).transpose(1, 2).reshape(-1, width).contiguous()
