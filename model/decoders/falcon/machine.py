"""Which kernels can run on this machine, and why the others cannot.

Knows the GPU and the tools beside it; knows nothing of models or memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import SubprocessError
from typing import Protocol

import torch

from model.types import ModelUnavailable

HOPPER = 9
# On Turing Triton 3.7 compiles the kernels without matrix instructions, and nobody has run them.
AMPERE, TURING = (8, 0), (7, 5)


class Machine(Protocol):
    """What decides it."""

    def capability(self) -> tuple[int, int]:
        """The GPU's."""

    def has_nvcc(self) -> bool:
        """Whether CUDA's compiler is there."""

    def compile(self) -> None:
        """Build the compiled kernels, once; raises ModelUnavailable."""

    def start_triton(self) -> None:
        """Import Triton and build what launches its kernels; raises what that raises."""


class ThisMachine:
    """See Machine; what is built lies in `cache`, so that the next start finds it."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def capability(self) -> tuple[int, int]:
        """See Machine."""
        return torch.cuda.get_device_capability()

    def has_nvcc(self) -> bool:
        """See Machine."""
        from model.decoders.falcon.cuda import build

        return build.compiler() is not None

    def compile(self) -> None:
        """See Machine."""
        from model.decoders.falcon.cuda import build

        build.library(self.cache)

    def start_triton(self) -> None:
        """See Machine."""
        import triton

        triton.knobs.cache.dir = str(self.cache / "triton")
        triton.runtime.driver.active.get_current_device()


def choose(kernels: str, machine: Machine, say: Callable[[str], None]) -> str | None:
    """compiled, triton or None, the first that can run or the one asked for.

    Raises ModelUnavailable if what `kernels` asks for cannot run.
    """
    found, missing = None, ""
    not_triton = partial(_not_triton, least=TURING if kernels == "triton" else AMPERE)
    for name, why_not in (("compiled", _not_compiled), ("triton", not_triton)):
        if kernels in ("auto", name):
            reason = why_not(machine)
            missing = missing or reason
            if not reason:
                found = name
                break
    if kernels not in ("auto", "bitsandbytes") and found is None:
        raise ModelUnavailable(f"{missing} Set LANNER_KERNELS to auto for those that can run.")
    if missing:
        say(f"{missing} {'Triton’s' if found else 'bitsandbytes’'} are used, which are slower.")
    return found


def _not_compiled(machine: Machine) -> str:
    """Why the compiled kernels cannot run here; nothing if they can."""
    if machine.capability()[0] != HOPPER or not machine.has_nvcc():
        return "The compiled kernels need a Hopper GPU and nvcc."
    try:
        machine.compile()
    except ModelUnavailable as error:
        return str(error)
    return ""


def _not_triton(machine: Machine, least: tuple[int, int]) -> str:
    """Why Triton's kernels cannot run here; nothing if they can."""
    if machine.capability() < least:
        return "The Triton kernels need a GPU of compute capability {}.{} or more.".format(*least)
    try:
        machine.start_triton()
    except ImportError:
        return "The Triton kernels need the package triton, which comes with torch for CUDA."
    except (RuntimeError, OSError, SubprocessError):
        return "The Triton kernels need a C compiler and Python's headers."
    return ""
