"""From an adapter's files to what a bank takes: names, shapes, scale, rank.

Knows PEFT's file format and Falcon's names; knows nothing of devices or slots.
Whatever does not fit is AdapterRefused with one sentence.
"""

from __future__ import annotations

import json
import re
from typing import Any

import torch

from model.adapters import CONFIG, WEIGHTS, check_files
from model.decoders.falcon.banks import Lora
from model.decoders.falcon.layout import LORA_RANK
from model.decoders.falcon.shape import Shape
from model.types import AdapterInfo, AdapterRefused

NAMES = {
    "self_attention.query_key_value": "qkv",
    "mlp.dense_h_to_4h": "up",
    "self_attention.dense": "dense",
    "mlp.dense_4h_to_h": "down",
}
PATTERN = re.compile(
    r"base_model\.model\.transformer\.h\.(\d+)\.(.+)\.lora_([AB])(?:\.\w+)?\.weight"
)
# Variants whose mathematics is not x + s·B·A·x.
UNKNOWN = (
    "use_dora",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "lora_bias",
    "use_qalora",
)


def sizes(shape: Shape) -> dict[str, tuple[int, int]]:
    """Rows and columns of each linear layer, by the name that a bank uses."""
    return {
        "qkv": (shape.qkv, shape.hidden),
        "up": (shape.mlp, shape.hidden),
        "dense": (shape.hidden, shape.hidden),
        "down": (shape.hidden, shape.mlp),
    }


def read(info: AdapterInfo, shape: Shape) -> list[dict[str, Lora]]:
    """Each layer's four adapters; a layer that the file leaves out gets zeros."""
    from safetensors.torch import load_file

    check_files(info)
    config = _config(info)
    found: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for name, tensor in load_file(info.path / WEIGHTS).items():
        match = PATTERN.fullmatch(name)
        if match is None or match[2] not in NAMES or int(match[1]) >= shape.layers:
            raise AdapterRefused(f"{info.name} was made for another model: {name} has no place.")
        found.setdefault((int(match[1]), NAMES[match[2]]), {})[match[3]] = tensor.float()
    wanted = sizes(shape)
    return [
        {name: _padded(info, config, found.get((layer, name)), *wanted[name]) for name in wanted}
        for layer in range(shape.layers)
    ]


def none(shape: Shape) -> list[dict[str, Lora]]:
    """The model without an adapter."""
    return [
        {
            name: Lora(torch.zeros(LORA_RANK, columns), torch.zeros(rows, LORA_RANK))
            for name, (rows, columns) in sizes(shape).items()
        }
        for _ in range(shape.layers)
    ]


def _config(info: AdapterInfo) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((info.path / CONFIG).read_text("utf-8"))
        rank, odd = int(config["r"]), [key for key in UNKNOWN if config.get(key)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterRefused(f"{info.name}/{CONFIG} cannot be read: {error}.") from error
    if rank > LORA_RANK or odd or config.get("bias", "none") != "none":
        raise AdapterRefused(
            f"{info.name} uses {', '.join(odd) or f'rank {rank} or biases'}; the fast decoder "
            f"serves plain LoRA up to rank {LORA_RANK}."
        )
    return config


def _padded(
    info: AdapterInfo,
    config: dict[str, Any],
    pair: dict[str, torch.Tensor] | None,
    rows: int,
    columns: int,
) -> Lora:
    """A and B with their scale in B and their rank filled up with zeros."""
    rank = int(config["r"])
    a, b = torch.zeros(LORA_RANK, columns), torch.zeros(rows, LORA_RANK)
    if pair is None:
        return Lora(a, b)
    if (
        set(pair) != {"A", "B"}
        or pair["A"].shape != (rank, columns)
        or pair["B"].shape != (rows, rank)
    ):
        raise AdapterRefused(f"{info.name} was made for another model: its shapes do not fit.")
    root = rank**0.5 if config.get("use_rslora") else rank
    a[:rank] = pair["A"]
    b[:, :rank] = pair["B"] * (float(config.get("lora_alpha", rank)) / root)
    return Lora(a, b)
