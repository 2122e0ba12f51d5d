"""Where a path's launches go: a CUDA stream that runs behind the host, or the host itself.

The host only copies a few hundred bytes of control data in front of a launch,
and tokens come back by a copy that an event marks: the next step is launched
before they are read. Kernels that a CPU interprets need none of it. Knows
tensors and launches; knows nothing of what they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch

from model.decoders.falcon.backend import Drawn, Known
from model.decoders.protocol import DeviceLost

Launch = Callable[[], None]


class Stream(Protocol):
    """An order of launches and copies; all but `use` is called inside `with stream.use()`."""

    def use(self) -> AbstractContextManager[object]:
        """What is launched inside goes here."""

    def put(self, to: torch.Tensor, values: torch.Tensor) -> None:
        """Copy from the host, without waiting."""

    def fetch(self, tokens: torch.Tensor) -> Drawn:
        """Begin to copy to the host."""

    def record(self, launch: Launch) -> Launch:
        """The same launches, cheaper to repeat; they happen once before."""

    def keep(self, tensors: Iterable[torch.Tensor]) -> None:
        """The tensors' memory is in use until all before is done."""


@dataclass(frozen=True, slots=True)
class Coming:
    """Tokens on their way to the host."""

    host: torch.Tensor
    there: torch.cuda.Event

    def read(self) -> list[int]:
        """Waits for them."""
        try:
            self.there.synchronize()
        except RuntimeError as error:
            raise DeviceLost(str(error).splitlines()[0]) from error
        return [int(token) for token in self.host]


class CudaStream:
    """See Stream; recorded launches are a CUDA graph."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def use(self) -> AbstractContextManager[object]:
        """See Stream."""
        return torch.cuda.stream(self._stream)

    def put(self, to: torch.Tensor, values: torch.Tensor) -> None:
        """See Stream; pinned memory is kept until the copy is done."""
        to.copy_(values.pin_memory().view(to.dtype), non_blocking=True)

    def fetch(self, tokens: torch.Tensor) -> Coming:
        """See Stream."""
        host = torch.empty(len(tokens), dtype=tokens.dtype, pin_memory=True)
        host.copy_(tokens, non_blocking=True)
        there = torch.cuda.Event()  # type: ignore[no-untyped-call]
        there.record(self._stream)
        return Coming(host, there)

    def record(self, launch: Launch) -> Launch:
        """See Stream; what runs first is loaded or compiled then."""
        launch()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            launch()
        return graph.replay

    def keep(self, tensors: Iterable[torch.Tensor]) -> None:
        """See Stream."""
        for tensor in tensors:
            tensor.record_stream(self._stream)


class HostStream:
    """See Stream; everything is done when the call returns."""

    def use(self) -> AbstractContextManager[object]:
        """See Stream."""
        return nullcontext()

    def put(self, to: torch.Tensor, values: torch.Tensor) -> None:
        """See Stream."""
        to.copy_(values.view(to.dtype))

    def fetch(self, tokens: torch.Tensor) -> Known:
        """See Stream."""
        return Known(tokens.tolist())

    def record(self, launch: Launch) -> Launch:
        """See Stream."""
        return launch

    def keep(self, tensors: Iterable[torch.Tensor]) -> None:
        """See Stream."""


def stream_of(device: torch.device) -> Stream:
    """What suits the device."""
    return CudaStream(device) if device.type == "cuda" else HostStream()
