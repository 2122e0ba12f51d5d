"""Published encoders as one kind of thing: BERT's names, BERT's token ids.

    MiniLM   all-MiniLM-L6-v2, 6 layers, 384 wide; as it is
    MPNet    all-mpnet-base-v2, 12 layers, 768 wide; named and numbered as BERT here, and it adds
             how far apart two tokens stand (Song et al., 2020)

Knows file formats and names; knows nothing of what an encoder is for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

FILE = "model.safetensors"  # in an encoder's folder
RELATIVE = "encoder.relative_attention_bias.weight"
KINDS = "embeddings.token_type_embeddings.weight"
_FARTHEST = 128  # tokens apart; what is farther counts alike
_PAD, _CLS, _SEP = 0, 101, 102
_MOVED, _PLACES = 4, 2  # MPNet has four tokens, and two places, before BERT's first
_NAMES = {
    "attention.attn.q": "attention.self.query",
    "attention.attn.k": "attention.self.key",
    "attention.attn.v": "attention.self.value",
    "attention.attn.o": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
}


def published(file: Path, device: str = "cpu") -> dict[str, Tensor]:
    """A checkpoint's weights, float32, by BERT's names."""
    weights: dict[str, Tensor] = load_file(file, device=device)
    return _as_bert(weights) if RELATIVE in weights else weights


def epsilon(weights: Mapping[str, Tensor]) -> float:
    """What the encoder's norms add to a variance."""
    return 1e-5 if RELATIVE in weights else 1e-12


def relative(weights: Mapping[str, Tensor], tokens: int) -> Tensor | None:
    """[heads, tokens, tokens] to add to the scores; None where the encoder has no such thing."""
    table = weights.get(RELATIVE)
    if table is None:
        return None
    at = torch.arange(tokens, device=table.device)
    apart = at[:, None] - at[None, :]
    half = table.shape[0] // 2
    near = half // 2
    far = apart.abs()
    step = math.log(_FARTHEST / near) / (half - near)
    coarse = near + ((far.clamp(min=1) / near).log() / step).long()
    bucket = torch.where(far < near, far, coarse.clamp(max=half - 1)) + half * (apart < 0)
    return table[bucket].permute(2, 0, 1)


def _as_bert(w: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in w.items():
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        found[name] = tensor
    words, places = (f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position"))
    moved = w[words][_MOVED:].clone()
    for bert, own in ((_CLS, 0), (_PAD, 1), (_SEP, 2)):
        moved[bert] = w[words][own]
    found[words], found[places] = moved, w[places][_PLACES:]
    found[KINDS] = torch.zeros(2, moved.shape[1], device=moved.device)
    return found
