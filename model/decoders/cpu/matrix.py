"""Weight matrices as a CPU reads them fastest: 4 or 8 bits for a few rows, fp32 for many.

A decode step reads every weight once for a row or four, so bytes decide: the
packed copy is used. A prompt's chunk has many rows to each weight, so
arithmetic decides: an fp32 copy of the same (dequantised) values is used, and
both ways compute with the same numbers. No kernel here mixes rows, so a row's
result does not depend on its company. Knows tensors; knows nothing of layers.

4 bits are used only where they lose nothing: where the checkpoint's own values
stand on 16 evenly spaced levels for each group of 32 (the demo model comes so).
Otherwise 8 bits with one scale for each output.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import linear

Kind = Literal["auto", "fp32", "bf16", "int8", "int4"]
GROUP = 32
# Rows up to which the packed copy is the faster one.
FEW = 8
# The kernels' blocks: outputs and inputs must be multiples.
BLOCK = 64


class Matrix:
    """y = x Wᵀ for a weight [outputs, inputs]; `kind` tells how the packed copy is kept."""

    def __init__(self, weight: torch.Tensor, kind: Kind = "auto", *, many: bool = True) -> None:
        self.kind: Kind = _chosen(weight, kind)
        self.dtype = torch.float32 if self.kind == "fp32" else torch.bfloat16
        self._scales = torch.empty(0)
        self._packed, kept = self._pack(weight)
        # The fp32 copy for many rows; the lm_head never sees many.
        self._full = kept.float().contiguous() if many else None

    def few(self, x: torch.Tensor) -> torch.Tensor:
        """For a decode step: x [rows, inputs] of `dtype`; returns the same dtype."""
        if self.kind == "int8":
            return torch._weight_int8pack_mm(x, self._packed, self._scales)
        if self.kind == "int4":
            return torch.ops.aten._weight_int4pack_mm_for_cpu(x, self._packed, GROUP, self._scales)
        return linear(x, self._packed)

    def many(self, x: torch.Tensor) -> torch.Tensor:
        """For a prompt's chunk: x [rows, inputs] in fp32; returns fp32."""
        assert self._full is not None  # noqa: S101
        return linear(x, self._full)

    @property
    def bytes(self) -> int:
        """Memory of all copies."""
        held = [self._packed, self._scales, *([self._full] if self._full is not None else [])]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    def _pack(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The packed copy, and the values that it stands for."""
        if self.kind == "int8":
            codes, self._scales = eight_bits(weight)
            return codes, codes.float() * self._scales.float().unsqueeze(1)
        if self.kind == "int4":
            codes, scale, low = four_bits(weight)
            # The kernel computes (code - 8) · scale + zero.
            zero = low + 8 * scale
            self._scales = torch.stack([scale, zero], dim=-1).transpose(0, 1)
            self._scales = self._scales.bfloat16().contiguous()
            packed = torch._convert_weight_to_int4pack_for_cpu(codes, 1)
            return packed, _levels(codes, self._scales)
        kept = weight.to(self.dtype).contiguous()
        return kept, kept


def eight_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes in [-127, 127] and a bf16 scale for each output."""
    full = weight.float()
    scales = (full.abs().amax(dim=1) / 127).clamp(min=1e-12).bfloat16()
    codes = (full / scales.float().unsqueeze(1)).round().clamp(-127, 127)
    return codes.to(torch.int8).contiguous(), scales


def four_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes in [0, 15], int32, and each group's step and lowest level, [outputs, groups]."""
    outputs, inputs = weight.shape
    groups = weight.float().view(outputs, inputs // GROUP, GROUP)
    low, high = groups.amin(dim=2), groups.amax(dim=2)
    step = ((high - low) / 15).clamp(min=1e-12)
    codes = ((groups - low.unsqueeze(2)) / step.unsqueeze(2)).round().clamp(0, 15)
    return codes.to(torch.int32).view(outputs, inputs), step, low


def on_levels(weight: torch.Tensor) -> bool:
    """Whether the weight's own values stand on 16 even levels a group, within 16-bit rounding."""
    if weight.shape[1] % GROUP:
        return False
    codes, step, low = four_bits(weight)
    outputs, inputs = weight.shape
    groups = weight.float().view(outputs, inputs // GROUP, GROUP)
    back = codes.view(groups.shape) * step.unsqueeze(2) + low.unsqueeze(2)
    # Values off their level by more than a tenth of a step; 16-bit rounding moves few so far.
    off = (back - groups).abs() > 0.1 * step.unsqueeze(2)
    return bool(off.float().mean() < 0.01)


def _chosen(weight: torch.Tensor, kind: Kind) -> Kind:
    if kind != "auto":
        return kind
    if weight.shape[0] % BLOCK or weight.shape[1] % BLOCK:
        return "bf16"
    return "int4" if on_levels(weight) else "int8"


def _levels(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The values that 4-bit codes stand for; scales [groups, outputs, 2]."""
    outputs, inputs = codes.shape
    step, zero = (scales[..., part].float().t().unsqueeze(2) for part in (0, 1))
    groups = (codes - 8).view(outputs, inputs // GROUP, GROUP)
    return (groups * step + zero).view(outputs, inputs)
