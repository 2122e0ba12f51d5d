"""The compiled path: rows in, tokens out, on one stream, without waiting for the device.

A decode step of 1, 2, 4 … 64 rows is one CUDA graph; so is a prompt of up to 64
tokens. Longer prompts are launched one by one. The host only copies a few
hundred bytes of control data in front of a graph, and tokens come back by a
copy that an event marks: the next step is launched before they are read.

Knows rows and graphs; knows nothing of sequences' ends, text or versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.decoders.falcon import banks
from model.decoders.falcon.backend import Rows
from model.decoders.falcon.banks import Bank
from model.decoders.falcon.cuda import build
from model.decoders.falcon.cuda.arena import WIDTH, Arena, DrawRecord
from model.decoders.falcon.cuda.layers import Layers
from model.decoders.falcon.cuda.native import Kernels
from model.decoders.falcon.weights import Weights
from model.decoders.protocol import DeviceLost, Draw

STEPS = (1, 2, 4, 8, 16, 32, 64)
PROMPTS = (16, 64)


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


class CudaBackend:
    """See backend.py. `cache` is where the compiled kernels are kept."""

    ahead = True

    def __init__(
        self,
        weights: Weights,
        cache: Path,
        *,
        slots: int = 64,
        context: int = 2048,
        prefill_rows: int = 512,
    ) -> None:
        self.shape, self.device = weights.shape, weights.w1.device
        self.slots, self.width, self.context = slots, min(slots, WIDTH), context
        self.prefill_rows = prefill_rows
        self.path = "compiled CUDA kernels, NF4 and LoRA in CUDA graphs"
        self.arena = Arena(weights, slots, context, max(prefill_rows, WIDTH))
        self.layers = Layers(self.arena, Kernels(build.library(cache)))
        self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self._in_use = (0, 1)
        with torch.cuda.stream(self._stream):
            self._steps = {n: self._capture(n, prompt=False) for n in STEPS}
            self._prompts = {n: self._capture(n, prompt=True) for n in PROMPTS}

    def run(self, rows: Rows) -> Coming:
        """See Backend."""
        with torch.cuda.stream(self._stream):
            own = len(set(rows.slot)) == len(rows) <= WIDTH and len(rows.picks) == len(rows)
            if own:
                self._step(rows)
            else:
                self._prompt(rows)
            return self._coming(len(rows.picks))

    def begin(self, slot: int, prompt: Sequence[int], draw: Draw) -> None:
        """See Backend."""
        record = DrawRecord(
            draw.temperature,
            draw.top_p,
            draw.repetition_penalty,
            draw.top_k,
            draw.seed & (2**64 - 1),
        )
        words = -(-self.shape.vocabulary // 32)
        bits = torch.zeros(words * 32, dtype=torch.uint8)
        bits[torch.tensor(list(prompt), dtype=torch.long)] = 1
        weight = torch.tensor([1 << i for i in range(8)], dtype=torch.uint8)
        seen = (bits.view(-1, 8) * weight).sum(dim=1, dtype=torch.uint8).view(torch.int32)
        with torch.cuda.stream(self._stream):
            self._put(self.arena.seen[slot], seen)
            self._put(
                self.arena.draws[slot], torch.frombuffer(bytearray(record), dtype=torch.uint8)
            )

    def use_banks(self, first: int, count: int) -> None:
        """See Backend."""
        if (first, count) != self._in_use:
            self._in_use = (first, count)
            with torch.cuda.stream(self._stream):
                self._put(self.arena.in_use, torch.tensor([first, count], dtype=torch.int32))

    def spare_bank(self) -> Bank:
        """See Backend."""
        return banks.empty(self.shape, self.device)

    def load_bank(self, number: int, bank: Bank) -> None:
        """See Backend."""
        with torch.cuda.stream(self._stream):
            self.arena.banks[number].copy_(bank)
        for tensor in bank.tensors():
            tensor.record_stream(self._stream)

    def memory_bytes(self) -> int:
        """See Backend."""
        return self.arena.memory_bytes()

    def _step(self, rows: Rows) -> None:
        size = next(n for n in STEPS if len(rows) <= n)
        self._control(rows, size)
        self._steps[size].replay()

    def _prompt(self, rows: Rows) -> None:
        """Rows of which several share a slot; those in `picks` draw afterwards."""
        if len(rows) <= PROMPTS[-1]:
            size = next(n for n in PROMPTS if len(rows) <= n)
            self._control(rows, size)
            self._prompts[size].replay()
        else:
            # One size only: cuBLAS then rounds a row alike whatever came with it.
            size = self.prefill_rows
            self._control(rows, size)
            self.layers.body(size, shared=True)
        if rows.picks:
            self.layers.draw(size, len(rows.picks))

    def _control(self, rows: Rows, size: int) -> None:
        """Tell the device about the rows, and about rows that only fill up to `size`."""
        pad, spare = size - len(rows), self.slots
        unused = range(len(rows.picks), min(size, WIDTH))
        values = [
            *(rows.slot + [spare] * pad),
            *(rows.pos + [0] * pad),
            *(rows.token + [0] * pad),
            *(rows.bank + [self._in_use[0]] * pad),
            *(rows.picks + list(unused)),
            *([rows.slot[i] for i in rows.picks] + [spare for _ in unused]),
            *([rows.pos[i] for i in rows.picks] + [0 for _ in unused]),
        ]
        self._put(self.arena.control(size).whole, torch.tensor(values, dtype=torch.int32))

    def _put(self, to: torch.Tensor, values: torch.Tensor) -> None:
        """Copy without waiting; pinned memory is kept until the copy is done."""
        to.copy_(values.pin_memory().view(to.dtype), non_blocking=True)

    def _coming(self, count: int) -> Coming:
        host = torch.empty(count, dtype=torch.int32, pin_memory=True)
        host.copy_(self.arena.tokens[:count], non_blocking=True)
        there = torch.cuda.Event()  # type: ignore[no-untyped-call]
        there.record(self._stream)
        return Coming(host, there)

    def _capture(self, size: int, *, prompt: bool) -> torch.cuda.CUDAGraph:
        """The launches for `size` rows as a graph; run once before, so that all is loaded."""
        self._control(Rows(), size)

        def launch() -> None:
            self.layers.body(size, shared=prompt)
            if not prompt:
                self.layers.draw(size, size)

        launch()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            launch()
        return graph
