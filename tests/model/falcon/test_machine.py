"""Which kernels are chosen on which machine, and what is said of the others."""

from __future__ import annotations

from dataclasses import dataclass
from subprocess import CalledProcessError

import pytest

from model.decoders.falcon.machine import choose
from model.types import ModelUnavailable

HOPPER, AMPERE, TURING, VOLTA = (9, 0), (8, 0), (7, 5), (7, 0)


@dataclass
class FakeMachine:
    gpu: tuple[int, int] = HOPPER
    nvcc: bool = True
    fault: str = ""  # of nvcc
    triton: Exception | None = None

    def capability(self) -> tuple[int, int]:
        return self.gpu

    def has_nvcc(self) -> bool:
        return self.nvcc

    def compile(self) -> None:
        if self.fault:
            raise ModelUnavailable(self.fault)

    def start_triton(self) -> None:
        if self.triton is not None:
            raise self.triton


def chosen(kernels: str, machine: FakeMachine) -> tuple[str | None, str]:
    """The path, and all that was said."""
    said: list[str] = []
    return choose(kernels, machine, said.append), " ".join(said)


def test_a_hopper_with_nvcc_runs_the_compiled_kernels_and_nothing_is_said() -> None:
    assert chosen("auto", FakeMachine()) == ("compiled", "")


@pytest.mark.parametrize(
    "machine", [FakeMachine(nvcc=False), FakeMachine(AMPERE), FakeMachine(AMPERE, nvcc=False)]
)
def test_without_hopper_or_nvcc_triton_runs(machine: FakeMachine) -> None:
    assert chosen("auto", machine) == (
        "triton",
        "The compiled kernels need a Hopper GPU and nvcc. Triton’s are used, which are slower.",
    )


def test_kernels_that_do_not_compile_are_replaced_by_triton() -> None:
    path, said = chosen("auto", FakeMachine(fault="nvcc failed."))
    assert (path, said) == ("triton", "nvcc failed. Triton’s are used, which are slower.")


@pytest.mark.parametrize(
    "machine",
    [
        FakeMachine(VOLTA),
        FakeMachine(TURING),
        FakeMachine(AMPERE, triton=ModuleNotFoundError("No module named 'triton'")),
        FakeMachine(nvcc=False, triton=RuntimeError("Failed to find C compiler.")),
        FakeMachine(nvcc=False, triton=CalledProcessError(1, ["gcc"])),
    ],
)
def test_where_neither_can_run_bitsandbytes_does(machine: FakeMachine) -> None:
    path, said = chosen("auto", machine)
    assert path is None
    assert said.endswith("bitsandbytes’ are used, which are slower.")


def test_on_turing_triton_runs_only_if_it_is_asked_for() -> None:
    assert chosen("triton", FakeMachine(TURING)) == ("triton", "")


@pytest.mark.parametrize("kernels", ["triton", "bitsandbytes"])
def test_what_is_asked_for_runs_though_faster_ones_could(kernels: str) -> None:
    wanted = None if kernels == "bitsandbytes" else kernels
    assert chosen(kernels, FakeMachine()) == (wanted, "")


@pytest.mark.parametrize(
    ("kernels", "machine", "why"),
    [
        ("compiled", FakeMachine(AMPERE), "need a Hopper GPU and nvcc"),
        ("compiled", FakeMachine(nvcc=False), "need a Hopper GPU and nvcc"),
        ("compiled", FakeMachine(fault="nvcc failed."), "nvcc failed"),
        ("triton", FakeMachine(VOLTA), "compute capability 7.5 or more"),
        ("triton", FakeMachine(triton=ModuleNotFoundError()), "need the package triton"),
        ("triton", FakeMachine(triton=RuntimeError()), "need a C compiler"),
    ],
)
def test_what_is_asked_for_and_cannot_run_is_refused_with_the_reason(
    kernels: str, machine: FakeMachine, why: str
) -> None:
    with pytest.raises(ModelUnavailable, match=f"{why}.* Set LANNER_KERNELS to auto"):
        choose(kernels, machine, print)
