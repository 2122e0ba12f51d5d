"""Weight matrices as a CPU reads them fastest: 4 bits for a few rows, 16 for many.

A decode step reads every weight once for a row or four, so bytes decide; a
prompt's chunk has many rows to each weight, so arithmetic decides. Both ways
compute with the same values. In a step no bit of a row's result depends on the
rows beside it (fp32, kept for tests, excepted). Knows tensors; knows nothing of layers.

4 bits are used only where they lose nothing but 16-bit rounding: where the
checkpoint's own values stand on 16 evenly spaced levels for each group of 32
(the demo model comes so). Otherwise FBGEMM's fp16 matrices, with fp32 sums.

Measured on two cores without AVX-512 (docs/performance.md): FBGEMM's fp16 beats
bf16, 8-bit weights and MKL's fp32 at 1 to 128 rows, and is the most exact but fp32.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.nn.functional import linear

Kind = Literal["auto", "fp32", "fp16", "int4"]
GROUP = 32
# The 4-bit kernel's block of outputs.
BLOCK = 64
LARGEST_HALF = 65504.0


class Matrix:
    """y = x Wᵀ for a weight [outputs, inputs]; `kind` tells how it is kept for a few rows."""

    def __init__(self, weight: torch.Tensor, kind: Kind = "auto") -> None:
        self.kind: Kind = _chosen(weight) if kind == "auto" else kind
        self.dtype = torch.bfloat16 if self.kind == "int4" else torch.float32
        self._weight = weight.float().contiguous()
        self._half: Any = None
        if self.kind == "int4":
            self._codes, self._scales, self._weight = _packed(self._weight)
        if self.kind != "fp32":
            self._half = torch.ops.quantized.linear_prepack_fp16(self._weight, None)
            self._weight = torch.empty(weight.shape, device="meta")

    def few(self, x: torch.Tensor) -> torch.Tensor:
        """For a decode step: x [rows, inputs] of `dtype`; returns the same dtype."""
        if self.kind == "int4":
            return torch.ops.aten._weight_int4pack_mm_for_cpu(x, self._codes, GROUP, self._scales)
        return self.many(x) if self._half is None else self._by_fours(x)

    def many(self, x: torch.Tensor) -> torch.Tensor:
        """For a prompt's chunk: x [rows, inputs] in fp32; returns fp32."""
        if self._half is None:
            return linear(x, self._weight)
        y: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._half)
        return y

    def _by_fours(self, x: torch.Tensor) -> torch.Tensor:
        """FBGEMM sums in another order for each number of rows: always give it four."""
        rows = len(x)
        filled = x if rows % 4 == 0 else torch.cat([x, x[:1].expand(-rows % 4, -1)])
        parts = [self.many(part) for part in filled.split(4)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[:rows]

    @property
    def bytes(self) -> int:
        """Memory of all copies."""
        count = self._weight.numel()
        each = {"fp32": 4.0, "fp16": 2.0, "int4": 2.0 + 0.5 + 4 / GROUP}
        return int(count * each[self.kind])


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
    outputs, inputs = weight.shape
    if inputs % GROUP:
        return False
    codes, step, low = four_bits(weight)
    groups = weight.float().view(outputs, inputs // GROUP, GROUP)
    back = codes.view(groups.shape) * step.unsqueeze(2) + low.unsqueeze(2)
    # Values off their level by more than a tenth of a step; 16-bit rounding moves few so far.
    off = (back - groups).abs() > 0.1 * step.unsqueeze(2)
    return bool(off.float().mean() < 0.01)


def _chosen(weight: torch.Tensor) -> Kind:
    if float(weight.abs().max()) > LARGEST_HALF:
        return "fp32"
    return "int4" if weight.shape[0] % BLOCK == 0 and on_levels(weight) else "fp16"


def _packed(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The kernel's codes and scales, and the values that they stand for."""
    outputs, inputs = weight.shape
    codes, step, low = four_bits(weight)
    # The kernel computes (code - 8) · step + zero, step and zero in bf16.
    scales = torch.stack([step, low + 8 * step], dim=-1).bfloat16()
    groups = (codes - 8).view(outputs, inputs // GROUP, GROUP)
    values = groups * scales[..., :1].float() + scales[..., 1:].float()
    packed = torch._convert_weight_to_int4pack_for_cpu(codes, 1)
    return packed, scales.transpose(0, 1).contiguous(), values.view(outputs, inputs)
