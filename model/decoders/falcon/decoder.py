"""Falcon behind the engine's port: slots, positions and adapter versions, on any backend.

Two banks of adapters are resident. A version lives in bank `version % 2`; a
sequence keeps the version that it was opened on, so that a new adapter can come
while old sequences end. Which rows a call becomes is decided here; how they are
computed is the backend's matter. Knows token ids; knows nothing of text,
people, fairness or files other than an adapter's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from model.adapters import check_base
from model.decoders.falcon import banks, lora
from model.decoders.falcon.backend import NEWEST, Backend, Drawn, Rows
from model.decoders.falcon.banks import Bank
from model.decoders.falcon.weights import Weights
from model.decoders.protocol import Draw, Noise
from model.types import AdapterInfo, AdapterRefused

GREEDY = Draw(temperature=0, top_p=1, top_k=0, repetition_penalty=1, seed=0)


@dataclass(slots=True)
class Slot:
    """What stands in a row of KV: `length` tokens, written on `version`."""

    version: int = -1
    length: int = 0
    open: bool = False


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of some slots, perhaps still being drawn."""

    slots: tuple[int, ...]
    drawn: Drawn | None

    def tokens(self) -> dict[int, int]:
        """Slot to token; raises Noise when the model wrote no numbers."""
        found = self.drawn.read() if self.drawn else []
        if any(token < 0 for token in found):
            raise Noise("the model's scores are not numbers")
        return dict(zip(self.slots, found, strict=True))


@dataclass(frozen=True, slots=True)
class Staged:
    """An adapter that was read, checked and laid out on the device."""

    info: AdapterInfo | None
    bank: Bank


@dataclass(slots=True)
class FalconDecoder:
    """See Decoder in protocol.py."""

    backend: Backend
    weights: Weights
    tokenizer: Any
    name: str
    base: str | None = None
    demo: bool = False
    quantised_modules: int = 0
    eos: frozenset[int] = frozenset()
    most: int = 64
    adapter: AdapterInfo | None = None
    current: int = 0
    _slots: list[Slot] = field(default_factory=list)

    path: str = field(init=False)
    slots: int = field(init=False)
    width: int = field(init=False)
    context: int = field(init=False)
    prefill_tokens: int = field(init=False)
    ahead: bool = field(init=False)

    def __post_init__(self) -> None:
        backend = self.backend
        self.path, self.ahead = backend.path, backend.ahead
        self.slots, self.context = backend.slots, backend.context
        self.width, self.prefill_tokens = min(self.most, backend.width), backend.prefill_rows
        self._slots = [Slot() for _ in range(backend.slots)]
        backend.use_banks(0, 1)

    @property
    def parameters(self) -> int:
        """Weights of the base model, its tied embedding once."""
        shape = self.backend.shape
        matrices = shape.rows1 * shape.hidden + shape.hidden * shape.cols2
        tables = 1 if self.weights.head.data_ptr() == self.weights.embedding.data_ptr() else 2
        norms = 2 * shape.hidden * (shape.layers + 1)
        return shape.layers * matrices + tables * shape.vocabulary * shape.hidden + norms

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backend.device

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a reply."""
        return self.eos

    def open(self, slot: int, prompt: Sequence[int], keep: int, draw: Draw) -> None:
        """See Decoder."""
        held = self._slots[slot]
        if keep and (held.version != self.current or keep > held.length):
            raise ValueError("what should be kept is not in the slot")
        held.version, held.length, held.open = self.current, keep, True
        self.backend.begin(slot, prompt, draw)

    def extend(self, chunks: dict[int, list[int]], last: frozenset[int]) -> Tokens:
        """See Decoder."""
        rows, drawing = Rows(), []
        for slot, tokens in chunks.items():
            held = self._slots[slot]
            for token in tokens:
                rows.add(slot, held.length, token, held.version % 2)
                held.length += 1
            if slot in last:
                rows.picks.append(len(rows) - 1)
                drawing.append(slot)
        return Tokens(tuple(drawing), self.backend.run(rows) if len(rows) else None)

    def step(self, slots: Sequence[int]) -> Tokens:
        """See Decoder."""
        rows = Rows(picks=list(range(len(slots))))
        for slot in slots:
            held = self._slots[slot]
            rows.add(slot, held.length, NEWEST, held.version % 2)
            held.length += 1
        return Tokens(tuple(slots), self.backend.run(rows) if slots else None)

    def close(self, slot: int) -> None:
        """See Decoder."""
        self._slots[slot].open = False
        self._settle()

    def version(self, slot: int) -> int:
        """See Decoder."""
        return self._slots[slot].version

    def clear(self) -> None:
        """See Decoder."""
        for slot in self._slots:
            slot.version, slot.length, slot.open = -1, 0, False
        self._settle()

    def stage(self, info: AdapterInfo | None) -> Staged:
        """See Decoder."""
        shape = self.backend.shape
        if info is not None:
            check_base(info, self.base or info.base)
        layers = lora.none(shape) if info is None else lora.read(info, shape)
        bank = self.backend.spare_bank()
        if info is not None:
            banks.fill(bank, self.weights, layers)
        if bank.ga.is_cuda:  # the switch must not wait for what this thread began
            torch.cuda.current_stream(bank.ga.device).synchronize()
        return Staged(info, bank)

    def switch(self, staged: Staged) -> None:
        """See Decoder."""
        if any(s.open and s.version != self.current for s in self._slots):
            raise AdapterRefused("Replies on the adapter before still run; try again.")
        version = self.current + 1
        for slot in self._slots:  # KV of versions that are gone is of no use
            if slot.version < self.current:
                slot.version, slot.length = -1, 0
        self.backend.load_bank(version % 2, staged.bank)
        self.backend.use_banks(0, 2)
        if self._canary(version % 2) < 0:
            self._settle()
            if staged.info is None:
                raise Noise("the model's scores are not numbers")
            raise AdapterRefused(f"{staged.info.name} makes the model write no numbers.")
        self.adapter, self.current = staged.info, version
        self._settle()

    def memory_bytes(self) -> int:
        """See Decoder."""
        return self.backend.memory_bytes()

    def _canary(self, bank: int) -> int:
        """A few tokens through the padding slot; -1 when the scores are not finite."""
        spare = self.backend.slots
        rows = Rows(picks=[3])
        for pos in range(4):
            rows.add(spare, pos, pos + 1, bank)
        self.backend.begin(spare, [1], GREEDY)
        return self.backend.run(rows).read()[0]

    def _settle(self) -> None:
        """Read one bank only once no sequence needs the other."""
        if all(s.version == self.current for s in self._slots if s.open):
            self.backend.use_banks(self.current % 2, 1)
