"""LoRA for the fused matrices of a Llama: read, check, and add to what the weights gave.

A bank holds one adapter: for each layer and fused matrix the A of its parts one
below the other and their B, scaled, side by side in blocks. Knows adapter files
and shapes; knows nothing of slots or which bank is whose.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

import torch

from model.adapters import CONFIG, WEIGHTS, check_files
from model.decoders.cpu.shape import PARTS, Shape, paired
from model.types import AdapterInfo, AdapterRefused

Pair = tuple[torch.Tensor, torch.Tensor]
_KEY = re.compile(
    r"base_model\.model\.model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight"
)
LET_GO_S = 0.002
# What these options ask for, nothing here does.
UNKNOWN = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication")


@dataclass(frozen=True, slots=True)
class Bank:
    """One adapter, in fp32: (layer, matrix) to A [ranks, inputs] and B [ranks, outputs]."""

    info: AdapterInfo
    pairs: dict[tuple[int, str], Pair]

    def add(self, layer: int, matrix: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """y + B(Ax), for rows that are all on this adapter."""
        pair = self.pairs.get((layer, matrix))
        if pair is None:
            return y
        a, b = pair
        return torch.addmm(y.float(), x.float() @ a.t(), b).to(y.dtype)


def read_bank(info: AdapterInfo, shape: Shape) -> Bank:
    """From a folder; raises AdapterRefused unless every tensor fits the model."""
    from safetensors.torch import load_file

    check_files(info)
    scale = _scale(info)
    found: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(info.path / WEIGHTS).items():
        match = _KEY.fullmatch(key)
        if match is None or match[2] not in shape.parts or int(match[1]) >= shape.layers:
            raise AdapterRefused(f"{info.name} was made for another model: {key} does not fit.")
        found.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor.float()
    pairs: dict[tuple[int, str], Pair] = {}
    for (layer, part), pair in found.items():
        _check(info, shape, layer, part, pair)
    for layer in range(shape.layers):
        for matrix in PARTS:
            fused = _fused(shape, matrix, layer, found, scale)
            if fused is not None:
                pairs[layer, matrix] = fused
            # Each small operation here makes the decoding thread wait for Python's lock.
            time.sleep(LET_GO_S)
    return Bank(info, pairs)


def _scale(info: AdapterInfo) -> float:
    config: dict[str, Any] = json.loads((info.path / CONFIG).read_text("utf-8"))
    odd = [option for option in UNKNOWN if config.get(option)]
    if odd or config.get("bias", "none") != "none":
        raise AdapterRefused(f"{info.name} does not fit: it uses {(odd or ['bias'])[0]}.")
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (rank**0.5 if config.get("use_rslora") else rank)


def _check(
    info: AdapterInfo, shape: Shape, layer: int, part: str, pair: dict[str, torch.Tensor]
) -> None:
    outputs, inputs = shape.parts[part]
    fits = (
        set(pair) == {"A", "B"}
        and pair["A"].dim() == pair["B"].dim() == 2
        and pair["A"].shape[1] == inputs
        and pair["B"].shape == (outputs, pair["A"].shape[0])
    )
    if not fits:
        raise AdapterRefused(
            f"{info.name} was made for another model: {part} of layer {layer} does not fit."
        )


def _fused(
    shape: Shape,
    matrix: str,
    layer: int,
    found: dict[tuple[int, str], dict[str, torch.Tensor]],
    scale: float,
) -> Pair | None:
    above, blocks = [], []
    outputs = sum(shape.parts[part][0] for part in PARTS[matrix])
    at = 0
    for part in PARTS[matrix]:
        height = shape.parts[part][0]
        pair = found.get((layer, part))
        if pair is not None:
            b = pair["B"] * scale
            b = paired(b, shape.head) if part in ("q_proj", "k_proj") else b
            block = torch.zeros(b.shape[1], outputs)
            block[:, at : at + height] = b.t()
            above.append(pair["A"])
            blocks.append(block)
        at += height
    return (torch.cat(above).contiguous(), torch.cat(blocks).contiguous()) if above else None
