"""The fast decoder for Llama-family models on a CPU; the demo model runs on it.

Knows slots, adapter versions and sampling; the arithmetic is in llama.py.
Text differs from the reference decoder's only by the rounding of the weights'
packed copy; with `kind="fp32"` greedy tokens are the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from model.adapters import check_base
from model.decoders.cpu.llama import Llama
from model.decoders.cpu.lora import Bank, read_bank
from model.decoders.cpu.matrix import Asked
from model.decoders.cpu.shape import shape_of
from model.decoders.protocol import Draw, Noise
from model.decoders.reference import Drawn, eos_ids
from model.memory import CONTEXT_TOKENS
from model.sampling import Sampler, choose
from model.types import AdapterInfo, AdapterRefused

# Prompt tokens in one chunk: running streams wait for it, and shorter ones waste arithmetic.
CHUNK = 64
STEPS = 6  # of each number of threads that is tried; a person waits for it


@dataclass(slots=True)
class Held:
    """What stands in a slot."""

    version: int
    length: int
    sampler: Sampler | None
    token: int = 0


@dataclass(frozen=True, slots=True)
class Mixed:
    """Rows on several adapters in one step: each bank adds to its own rows."""

    banks: list[tuple[torch.Tensor, Bank]]

    def add(self, layer: int, matrix: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """See llama.Delta."""
        for rows, bank in self.banks:
            y[rows] = bank.add(layer, matrix, x[rows], y[rows])
        return y


class CpuDecoder:
    """Slots over a Llama on a CPU. Raises ValueError for another model: see `usable`."""

    ahead = False
    quantised_modules = 0
    prefill_tokens = CHUNK

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        *,
        base: str | None = None,
        demo: bool = False,
        slots: int = 16,
        width: int = 4,
        kind: Asked = "auto",
    ) -> None:
        shape = shape_of(model.config)
        if shape is None:
            raise ValueError("This decoder knows Llama models only.")
        self.tokenizer, self.name, self.base, self.demo = tokenizer, name, base, demo
        self.slots, self.width = max(slots, width), width
        self.context = min(int(model.config.max_position_embeddings), CONTEXT_TOKENS)
        self.parameters = int(model.num_parameters())
        self.eos_ids = eos_ids(model, tokenizer)
        self.device = torch.device("cpu")
        self.current = 0
        self._llama = Llama(model, shape, self.slots, self.context, kind)
        self.path = f"CPU, static slots, {' and '.join(self._llama.kinds)}"
        self._banks: dict[int, Bank | None] = {0: None}
        self._held: dict[int, Held] = {}

    @property
    def adapter(self) -> AdapterInfo | None:
        """What new sequences are opened on."""
        bank = self._banks[self.current]
        return bank.info if bank else None

    def memory_bytes(self) -> int:
        """Weights in all copies, and the KV that tokens stand in."""
        held = sum(one.length for one in list(self._held.values()))
        return self._llama.bytes + held * self._llama.token_bytes

    def open(self, slot: int, prompt: Sequence[int], keep: int, draw: Draw) -> None:
        """See the protocol."""
        self._held[slot] = Held(self.current, keep, Sampler(draw, prompt))

    def extend(self, chunks: dict[int, list[int]], last: frozenset[int]) -> Drawn:
        """See the protocol."""
        found: dict[int, int] = {}
        for slot, ids in chunks.items():
            held = self._held[slot]
            logits = self._llama.chunk(
                ids, slot, held.length, self._banks[held.version], last=slot in last
            )
            held.length += len(ids)
            if logits is not None:
                found |= self._draw([slot], logits)
        return Drawn(found)

    def step(self, slots: Sequence[int]) -> Drawn:
        """See the protocol."""
        held = [self._held[slot] for slot in slots]
        logits = self._llama.step(
            [h.token for h in held], slots, [h.length for h in held], self._delta(held)
        )
        for one in held:
            one.length += 1
        return Drawn(self._draw(slots, logits))

    def close(self, slot: int) -> None:
        """See the protocol."""
        self._held[slot].sampler = None
        self._drop_unused()

    def version(self, slot: int) -> int:
        """See the protocol."""
        held = self._held.get(slot)
        return held.version if held else -1

    def clear(self) -> None:
        """See the protocol; broken values must not stay where they may be read again."""
        self._held.clear()
        self._llama.reset()
        self._drop_unused()

    def stage(self, info: AdapterInfo | None) -> Bank | None:
        """See the protocol."""
        if info is None:
            return None
        check_base(info, self.base)
        return read_bank(info, self._llama.shape)

    def switch(self, staged: Bank | None) -> None:
        """See the protocol; a slot that no reply uses lends itself to the canary."""
        self._canary(staged)
        self.current += 1
        self._banks[self.current] = staged
        self._drop_unused()

    def _canary(self, bank: Bank | None) -> None:
        spare = next((s for s in range(self.slots) if not self._open(s)), None)
        if spare is None:
            return
        # Its KV is overwritten, so nobody may keep it.
        self._held.pop(spare, None)
        logits = self._llama.chunk([1, 2], spare, 0, bank, last=True)
        if logits is not None and bool(logits.isfinite().all()):
            return
        if bank is None:
            raise Noise("The model writes nothing but noise.")
        raise AdapterRefused(f"{bank.info.name} makes the model write nothing but noise.")

    def _open(self, slot: int) -> bool:
        held = self._held.get(slot)
        return held is not None and held.sampler is not None

    def _delta(self, held: list[Held]) -> Bank | Mixed | None:
        versions = {h.version for h in held}
        if len(versions) == 1:
            return self._banks[versions.pop()]
        parts = []
        for version in sorted(versions):
            bank = self._banks[version]
            if bank is not None:
                rows = [row for row, h in enumerate(held) if h.version == version]
                parts.append((torch.tensor(rows), bank))
        return Mixed(parts)

    def _draw(self, slots: Sequence[int], logits: torch.Tensor) -> dict[int, int]:
        samplers = [self._held[slot].sampler for slot in slots]
        tokens = choose(logits, [s for s in samplers if s is not None])
        for slot, token in zip(slots, tokens, strict=True):
            self._held[slot].token = token
        return dict(zip(slots, tokens, strict=True))

    def _drop_unused(self) -> None:
        used = {h.version for h in self._held.values() if h.sampler} | {self.current}
        self._banks = {v: bank for v, bank in self._banks.items() if v in used}


def choose_threads(decoder: CpuDecoder) -> int:
    """Set and return the number of threads that steps fastest on this machine now."""
    found: dict[int, float] = {}
    for threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        decoder.open(0, [1, 2], 0, Draw(0.0, 1.0, 0, 1.0, 0))
        decoder.extend({0: [1, 2]}, frozenset({0}))
        times: list[float] = []
        # One that is far slower than what was tried before need not show it again.
        while len(times) < STEPS and sum(times) < 2 * STEPS * min(found.values(), default=1.0):
            began = time.perf_counter()
            decoder.step([0])
            times.append(time.perf_counter() - began)
        found[threads] = min(times)
        decoder.clear()
    best = min(found, key=lambda threads: found[threads])
    torch.set_num_threads(best)
    return best
