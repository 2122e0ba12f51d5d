"""x W + b as the encoder needs it: in 8 bits where torch is there, else in fp32.

Eight bits take a third of a message's time on one core and move a probability
by 0.01 on average. What comes in is first divided by how large each of its
columns was seen to get (`reach`, measured after training and shipped), or a few
large columns would leave no bits to the others (Xiao et al., SmoothQuant, 2023).
Weights keep 8 bits and inputs 7, so that processors without VNNI cannot
overflow and all compute the same. Knows matrices alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Product: TypeAlias = Callable[[Array], Array]
# The share of a column's reach that goes over to the weights; measured on development messages.
_SHARE = 0.85
_LEAST = 1e-4
_OFF = 0.1  # more than this apart from fp32, and the 8-bit product is not used


def product(weight: Array, bias: Array, reach: Array | None) -> Product:
    """`weight` [in, out]; `reach` [in] is each column's largest size among inputs."""
    whole = _Whole(weight, bias)
    if reach is not None:
        # Without torch, or with one that has no such kernels or wrong ones: slower, and as right.
        with suppress(ImportError, AttributeError, RuntimeError):
            eight, tried = _EightBits(weight, bias, reach), _tried(reach)
            wanted = whole(tried)
            if np.linalg.norm(eight(tried) - wanted) < _OFF * np.linalg.norm(wanted):
                return eight
    return whole


def _tried(reach: Array) -> Array:
    """Inputs of the sizes that were seen, the same each time."""
    signs = np.random.default_rng(0).uniform(-1, 1, (8, len(reach)))
    return (signs * reach).astype(np.float32)


class _Whole:
    def __init__(self, weight: Array, bias: Array) -> None:
        self._weight, self._bias = np.ascontiguousarray(weight), bias

    def __call__(self, x: Array) -> Array:
        out: Array = x @ self._weight
        out += self._bias
        return out


class _EightBits:
    """FBGEMM's linear map; inputs are scaled anew for each call."""

    def __init__(self, weight: Array, bias: Array, reach: Array) -> None:
        import torch

        self._from, self._run = torch.from_numpy, torch.ops.quantized.linear_dynamic
        rows = np.maximum(np.abs(weight).max(1), _LEAST)
        scale = np.maximum(reach, _LEAST) ** _SHARE / rows ** (1 - _SHARE)
        self._scale = (1 / scale).astype(np.float32)
        whole = torch.from_numpy(np.ascontiguousarray((weight * scale[:, None]).T))
        steps = whole.abs().amax(1).clamp(min=_LEAST) / 127
        with warnings.catch_warnings():  # pinned with torch; a later one falls back to fp32
            warnings.simplefilter("ignore")
            codes = torch.quantize_per_channel(
                whole, steps.double(), torch.zeros(len(whole), dtype=torch.long), 0, torch.qint8
            )
            self._packed: Any = torch.ops.quantized.linear_prepack(
                codes, torch.from_numpy(np.ascontiguousarray(bias))
            )

    def __call__(self, x: Array) -> Array:
        out: Array = self._run(self._from(x * self._scale), self._packed, True).numpy()
        return out


class OneThread(AbstractContextManager[None]):
    """Threads of torch only wait for each other over texts this short, above all when busy."""

    def __init__(self) -> None:
        try:
            import torch
        except ImportError:
            self._set: Callable[[int], None] = lambda _: None
            self._get: Callable[[], int] = lambda: 1
        else:
            self._set, self._get = torch.set_num_threads, torch.get_num_threads

    def __enter__(self) -> None:
        self._before = self._get()
        self._set(1)

    def __exit__(self, *_: object) -> None:
        self._set(self._before)
