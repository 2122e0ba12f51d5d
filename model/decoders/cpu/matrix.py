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

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.functional import linear

Kind = Literal["fp32", "fp16", "int4"]
Asked = Literal["auto", "fp32", "fp16"]
GROUP = 32
# The 4-bit kernel's block of outputs.
BLOCK = 64
PART = 128
LARGEST_HALF = 65504.0


class Matrix:
    """y = x Wᵀ for a weight [outputs, inputs]; `kind` tells how it is kept for a few rows."""

    def __init__(self, weight: torch.Tensor, kind: Asked = "auto") -> None:
        weight = weight.float().contiguous()
        if kind == "auto" and float(weight.abs().max()) > LARGEST_HALF:
            kind = "fp32"
        four = four_bits(weight) if kind == "auto" else None
        self.kind: Kind = "fp16" if kind == "auto" else kind
        self.dtype = torch.float32
        self._weight = weight
        self._half: Any = None
        if four is not None:
            self.kind, self.dtype = "int4", torch.bfloat16
            self._codes = torch._convert_weight_to_int4pack_for_cpu(four.codes, 1)
            self._scales, self._weight = four.scales.transpose(0, 1).contiguous(), four.values
        if self.kind != "fp32":
            self._half = torch.ops.quantized.linear_prepack_fp16(self._weight, None)
            self._weight = torch.empty(weight.shape, device="meta")

    def few(self, x: torch.Tensor) -> torch.Tensor:
        """For a decode step: x [rows, inputs] of `dtype`; returns the same dtype."""
        if self.kind == "int4":
            multiply = torch.ops.aten._weight_int4pack_mm_for_cpu
            y: torch.Tensor = multiply(x, self._codes, GROUP, self._scales)
            return y
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
        parts = [self.many(part) for part in torch.split(filled, 4)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[:rows]

    @property
    def bytes(self) -> int:
        """Memory of all copies."""
        count = self._weight.numel()
        each = {"fp32": 4.0, "fp16": 2.0, "int4": 2.0 + 0.5 + 4 / GROUP}
        return int(count * each[self.kind])


@dataclass(frozen=True, slots=True)
class FourBits:
    """A weight on 16 even levels a group, as the 4-bit kernel takes it.

    Codes in [0, 15], int32 [outputs, inputs]; each group's step and middle, bf16
    [outputs, groups, 2]; the values that they stand for, fp32 [outputs, inputs].
    """

    codes: torch.Tensor
    scales: torch.Tensor
    values: torch.Tensor


def four_bits(weight: torch.Tensor) -> FourBits | None:
    """None unless the fp32 weight's own values stand on such levels, within 16-bit rounding."""
    outputs, inputs = weight.shape
    if inputs % GROUP or outputs % BLOCK:
        return None
    kept = FourBits(
        torch.empty(outputs, inputs, dtype=torch.int32),
        torch.empty(outputs, inputs // GROUP, 2, dtype=torch.bfloat16),
        torch.empty(outputs, inputs),
    )
    # A part stays in the processor's cache through all passes over it.
    off = sum(_levels(weight[at : at + PART], kept, at) for at in range(0, outputs, PART))
    return kept if off < 0.01 * outputs * inputs else None


def _levels(weight: torch.Tensor, kept: FourBits, at: int) -> int:
    """Fill the rows from `at` on; how many values are off their level by over a tenth of a step."""
    rows = slice(at, at + len(weight))
    groups = weight.view(len(weight), -1, GROUP)
    low, high = groups.aminmax(dim=2, keepdim=True)
    step = ((high - low) / 15).clamp_(min=1e-12)
    exact = (groups - low).div_(step)
    codes = exact.round()
    # 16-bit rounding moves few values so far.
    off = int(exact.sub_(codes).abs_().gt_(0.1).sum())
    # The kernel computes (code - 8) · step + middle, step and middle in bf16.
    torch.cat([step, low + 8 * step], dim=2, out=kept.scales[rows])
    kept.codes[rows] = codes.view(weight.shape)
    scales = kept.scales[rows].float()
    values = codes.sub_(8).mul_(scales[..., :1]).add_(scales[..., 1:])
    kept.values[rows] = values.view(weight.shape)
    return off
