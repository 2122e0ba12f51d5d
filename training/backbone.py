"""Hidden states of a batch from any causal LM; Falcon's by a shorter way.

transformers always builds a mask for Falcon, and its 71 query heads meet one
key/value head: together they send attention to the slow kernel. The short way
uses the same modules with causal flash attention and no mask, and keeps GELU's
input instead of its output. Tests hold it to transformers' own result. Knows
modules and tensors; knows nothing of data or optimisers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from training.batches import Batch, block_mask
from training.lora import LoraLinear


class Backbone:
    """A model without its head: `hidden(batch)` is [rows, length, width]."""

    def __init__(self, model: Any, *, recompute: bool) -> None:
        self._model = model
        self._inner: Any = model.base_model if hasattr(model, "base_model") else model
        self.recompute, self._switched = recompute, False
        self.fast = is_plain_falcon(model)
        if self.fast:
            _shorten(self._inner)

    @property
    def head(self) -> torch.Tensor:
        """[vocabulary, width]"""
        weight: torch.Tensor = self._model.get_output_embeddings().weight
        return weight

    def hidden(self, batch: Batch) -> torch.Tensor:
        """The states after the last norm."""
        mask = None if batch.segments is None else block_mask(batch.segments)
        if self.fast:
            return self._falcon(batch, mask)
        self._switch_checkpointing()
        if mask is not None:
            # As numbers, since not every model takes a mask of truth values.
            low = torch.finfo(self._model.dtype).min
            mask = torch.zeros_like(mask, dtype=self._model.dtype).masked_fill_(~mask, low)
        found: torch.Tensor = self._inner(
            input_ids=batch.ids, attention_mask=mask, position_ids=batch.positions, use_cache=False
        ).last_hidden_state
        return found

    def _switch_checkpointing(self) -> None:
        wanted = self.recompute and torch.is_grad_enabled()
        if wanted and not self._switched:
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
        elif not wanted and self._switched:
            self._model.gradient_checkpointing_disable()
        self._switched = wanted

    def _falcon(self, batch: Batch, mask: torch.Tensor | None) -> torch.Tensor:
        inner = self._inner
        states: torch.Tensor = inner.word_embeddings(batch.ids)
        positions = batch.positions
        if positions is None:
            positions = torch.arange(batch.ids.shape[1], device=batch.ids.device).unsqueeze(0)
        # Rotation angles by position, [rows, 1, length, head]
        turn = tuple(part.unsqueeze(1) for part in inner.rotary_emb(states, positions))
        recompute = self.recompute and torch.is_grad_enabled()
        for layer in inner.h:
            if recompute:
                states = checkpoint(layer, states, short=(turn, mask), use_reentrant=False)
            else:
                states = layer(states, short=(turn, mask))
        result: torch.Tensor = inner.ln_f(states)
        return result


def is_plain_falcon(model: Any) -> bool:
    """Falcon-7B's architecture: multi-query, parallel, rotary, one norm, no dropout."""
    config = model.config
    return (
        config.model_type == "falcon"
        and config.multi_query
        and config.parallel_attn
        and not config.new_decoder_architecture
        and not config.alibi
        and config.activation == "gelu"
        and config.hidden_dropout == config.attention_dropout == 0.0
    )


def _shorten(inner: Any) -> None:
    """Layers take the short way when asked to, and transformers' own way otherwise.

    The call goes through the layer itself, so that hooks on it (sharding) still run.
    """
    for layer in inner.h:
        layer.forward = _Short(layer, layer.forward)


class _Short:
    """A layer's forward with two ways."""

    def __init__(self, layer: Any, long: Any) -> None:
        self._layer, self._long = layer, long

    def __call__(self, states: torch.Tensor, *rest: Any, short: Any = None, **named: Any) -> Any:
        if short is None:
            return self._long(states, *rest, **named)
        (cos, sin), mask = short
        layer = self._layer
        normed = layer.input_layernorm(states)
        attended = _attention(layer.self_attention, normed, cos, sin, mask)
        return states + attended + _mlp(layer.mlp, normed)


def _attention(
    attention: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: Any
) -> torch.Tensor:
    rows, length, _ = x.shape
    heads, size = attention.num_heads, attention.head_dim
    fused = attention.query_key_value(x).view(rows, length, heads + 2, size).transpose(1, 2)
    turned = _rotated(fused[:, : heads + 1], cos, sin)
    query, key = turned[:, :heads], turned[:, heads:]
    # A copy, so that the wide projection it is part of can go.
    value = fused[:, heads + 1 :].contiguous()
    out = nn.functional.scaled_dot_product_attention(
        query,
        key.expand(-1, heads, -1, -1),
        value.expand(-1, heads, -1, -1),
        attn_mask=mask,
        is_causal=mask is None,
    )
    result: torch.Tensor = attention.dense(out.transpose(1, 2).reshape(rows, length, heads * size))
    return result


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Su et al., 2021: queries and the key turn together."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


def _mlp(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    wide = mlp.dense_h_to_4h(x)
    if isinstance(mlp.dense_4h_to_h, LoraLinear):
        result: torch.Tensor = mlp.dense_4h_to_h(wide, gelu=True)
        return result
    plain: torch.Tensor = mlp.dense_4h_to_h(mlp.act(wide))
    return plain
