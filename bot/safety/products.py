"""x W' + b as the encoder needs it: in 8 bits where this processor can, else in fp32.

Eight bits take a third of a message's time on one core and move a probability
by 0.01 on average. What comes in is first divided by how large each of its
columns was seen to get (`reach`, measured after training and shipped), or a few
large columns would leave no bits to the others (Xiao et al., SmoothQuant, 2023).
Weights keep 8 bits and inputs 7, so that processors without VNNI cannot
overflow and all compute the same. Knows matrices alone.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# The share of a column's reach that goes over to the weights; measured on development messages.
_SHARE = 0.85
_LEAST = 1e-4
_OFF = 0.1  # more than this apart from fp32, and the 8-bit product is not used


def product(weight: Tensor, bias: Tensor, reach: Tensor | None) -> nn.Module:
    """`weight` [out, in]; `reach` [in] is each column's largest size among inputs."""
    whole = _Whole(weight, bias)
    if reach is not None:
        # With a torch that has no such kernels, or wrong ones: slower, and as right.
        with suppress(AttributeError, RuntimeError):
            eight, tried = _EightBits(weight, bias, reach), _tried(reach)
            wanted = whole(tried)
            if (eight(tried) - wanted).norm() < _OFF * wanted.norm():
                return eight
    return whole


def _tried(reach: Tensor) -> Tensor:
    """Inputs of the sizes that were seen, the same each time."""
    dice = torch.Generator().manual_seed(0)
    return (torch.rand(8, len(reach), generator=dice) * 2 - 1) * reach


class _Whole(nn.Module):
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Buffer(weight), nn.Buffer(bias)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class _EightBits(nn.Module):
    """FBGEMM's linear map; inputs are scaled anew for each call."""

    def __init__(self, weight: Tensor, bias: Tensor, reach: Tensor) -> None:
        super().__init__()
        columns = weight.abs().amax(0).clamp(min=_LEAST)
        scale = reach.clamp(min=_LEAST) ** _SHARE / columns ** (1 - _SHARE)
        self.scale = nn.Buffer(1 / scale)
        whole = weight * scale
        steps = whole.abs().amax(1).clamp(min=_LEAST) / 127
        with warnings.catch_warnings():  # pinned with torch; a later one falls back to fp32
            warnings.simplefilter("ignore")
            codes = torch.quantize_per_channel(
                whole, steps.double(), torch.zeros(len(whole), dtype=torch.long), 0, torch.qint8
            )
            self.packed: Any = torch.ops.quantized.linear_prepack(codes, bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.quantized.linear_dynamic(x * self.scale, self.packed, True)
        return out


class OneThread(AbstractContextManager[None]):
    """More threads only wait for each other over texts this short, above all when busy."""

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)
