"""A tiny Falcon with heads of 64, quantised, and the transformers model that it equals."""

from __future__ import annotations

from typing import Any

import torch
from transformers import FalconConfig, FalconForCausalLM

from model.decoders.falcon import layout
from model.decoders.falcon.shape import Shape, shape_of
from model.decoders.falcon.weights import Weights, build
from tests.model import tiny

SHAPE = Shape(hidden=128, heads=2, layers=2, vocabulary=288)
VOCABULARY = 283  # does not fill its last tile


def config() -> FalconConfig:
    return tiny.config(VOCABULARY, SHAPE.hidden, SHAPE.heads)


def falcon(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = FalconForCausalLM(config()).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(6.0)
        elif name.endswith(("layernorm.weight", "layernorm.bias", "ln_f.weight")):
            parameter.data.add_(0.1 * torch.randn(parameter.shape))
        # What the kernels keep in 16 bits is exact in 16 bits.
        parameter.data.copy_(parameter.data.bfloat16().float())
    return model


def pair(seed: int = 0) -> tuple[Weights, Any]:
    """Packed weights, and a transformers model whose linear layers hold the dequantised ones."""
    model = falcon(seed)
    state = model.state_dict()
    weights = build(shape_of(model.config), state.__getitem__, torch.device("cpu"), tied=True)
    for i, block in enumerate(model.transformer.h):
        first, second = layout.dequantise(weights.w1[i]), layout.dequantise(weights.w2[i])
        qkv = weights.shape.qkv
        block.self_attention.query_key_value.weight.data = first[:qkv]
        block.mlp.dense_h_to_4h.weight.data = first[qkv:]
        block.self_attention.dense.weight.data = second[:, :128].contiguous()
        block.mlp.dense_4h_to_h.weight.data = second[:, 128:].contiguous()
    return weights, model
