"""A backend over kernels of its own: rows in, tokens out, without waiting for the device.

A decode step of 1, 2, 4 … 64 rows is one CUDA graph; so is a prompt of up to 64
tokens. Longer prompts are launched one by one, or are a graph too where
launching costs the host more than the kernels cost the device. Which kernels
run is the layers' matter (cuda/layers.py, triton/layers.py).

Knows rows and graphs; knows nothing of sequences' ends, text or versions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.decoders.falcon import banks
from model.decoders.falcon.arena import WIDTH, Arena, DrawRecord
from model.decoders.falcon.backend import Drawn, Rows
from model.decoders.falcon.banks import Bank
from model.decoders.falcon.layers import Layers
from model.decoders.falcon.stream import Launch, stream_of
from model.decoders.protocol import Draw

STEPS = (1, 2, 4, 8, 16, 32, 64)
PROMPTS = (16, 64)


class GraphBackend:
    """See backend.py."""

    ahead = True

    def __init__(self, path: str, arena: Arena, layers: Layers, *, long_graph: bool) -> None:
        self.path, self.arena, self.shape = path, arena, arena.weights.shape
        self.device, self.slots, self.context = arena.device, arena.slots, arena.context
        self.width, self.prefill_rows = min(arena.slots, WIDTH), arena.rows
        self.stream = stream_of(arena.device)
        self._layers = layers
        self._in_use = (0, 1)
        prompts = (*PROMPTS, arena.rows) if long_graph else PROMPTS
        with self.stream.use():
            self.steps = {n: self._recorded(n, prompt=False) for n in STEPS}
            self._prompts = {n: self._recorded(n, prompt=True) for n in prompts}

    def run(self, rows: Rows) -> Drawn:
        """See Backend."""
        with self.stream.use():
            own = len(set(rows.slot)) == len(rows) <= WIDTH and len(rows.picks) == len(rows)
            if own:
                self._step(rows)
            else:
                self._prompt(rows)
            return self.stream.fetch(self.arena.tokens[: len(rows.picks)])

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
        how = torch.frombuffer(bytearray(record), dtype=torch.uint8)
        with self.stream.use():
            self.stream.put(self.arena.seen[slot], seen)
            self.stream.put(self.arena.draws[slot], how)

    def use_banks(self, first: int, count: int) -> None:
        """See Backend."""
        if (first, count) != self._in_use:
            self._in_use = (first, count)
            with self.stream.use():
                in_use = torch.tensor([first, count], dtype=torch.int32)
                self.stream.put(self.arena.in_use, in_use)

    def spare_bank(self) -> Bank:
        """See Backend."""
        return banks.empty(self.shape, self.device)

    def load_bank(self, number: int, bank: Bank) -> None:
        """See Backend."""
        with self.stream.use():
            self.arena.banks[number].copy_(bank)
        self.stream.keep(bank.tensors())

    def memory_bytes(self) -> int:
        """See Backend."""
        return self.arena.memory_bytes()

    def _step(self, rows: Rows) -> None:
        size = next(n for n in STEPS if len(rows) <= n)
        self._control(rows, size)
        self.steps[size]()

    def _prompt(self, rows: Rows) -> None:
        """Rows of which several share a slot; those in `picks` draw afterwards."""
        # One size only for long ones: cuBLAS then rounds a row alike whatever came with it.
        size = next((n for n in PROMPTS if len(rows) <= n), self.prefill_rows)
        self._control(rows, size)
        if size in self._prompts:
            self._prompts[size]()
        else:
            self._layers.body(size, shared=True)
        if rows.picks:
            self._layers.draw(size, len(rows.picks))

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
        self.stream.put(self.arena.control(size).whole, torch.tensor(values, dtype=torch.int32))

    def _recorded(self, size: int, *, prompt: bool) -> Launch:
        """The launches for `size` rows."""
        self._control(Rows(), size)

        def launch() -> None:
            self._layers.body(size, shared=prompt)
            if not prompt:
                self._layers.draw(size, size)

        return self.stream.record(launch)
