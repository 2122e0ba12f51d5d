"""What a way of computing is to the decoder: rows in, drawn tokens out.

A row is one token of one slot: a decode step has one row a slot, a prompt many.
The decoder (decoder.py) knows slots, versions and order; a backend knows only
rows, KV memory and the two banks of adapters:

    plain.py    torch, fp32, any device: what the others are compared with
    cuda/       compiled kernels (Hopper)
    triton/     Triton kernels, where there is no CUDA toolchain
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from model.decoders.falcon.banks import Bank
from model.decoders.falcon.shape import Shape
from model.decoders.protocol import Draw

NEWEST = -1  # in place of a token: the slot's newest drawn one, which is on the device


@dataclass(slots=True)
class Rows:
    """Rows that go through the model together, in the order of each slot's positions.

    `picks` are the rows whose next token is drawn.
    """

    slot: list[int] = field(default_factory=list)
    pos: list[int] = field(default_factory=list)
    token: list[int] = field(default_factory=list)
    bank: list[int] = field(default_factory=list)
    picks: list[int] = field(default_factory=list)

    def add(self, slot: int, pos: int, token: int, bank: int) -> None:
        """One more row."""
        self.slot.append(slot)
        self.pos.append(pos)
        self.token.append(token)
        self.bank.append(bank)

    def __len__(self) -> int:
        return len(self.slot)


class Drawn(Protocol):
    """Tokens being drawn."""

    def read(self) -> list[int]:
        """One token for each pick, -1 where logits were not finite; waits for the device."""


@dataclass(frozen=True, slots=True)
class Known:
    """Tokens that are drawn already."""

    tokens: list[int]

    def read(self) -> list[int]:
        """One token a pick."""
        return self.tokens


class Backend(Protocol):
    """A way to compute. Slot `slots` (one more than may be used) takes rows that only pad."""

    path: str
    shape: Shape
    slots: int
    width: int
    context: int
    prefill_rows: int
    ahead: bool
    device: torch.device

    def run(self, rows: Rows) -> Drawn:
        """Write the rows' KV and draw the picks' next tokens; returns before the device is done."""

    def begin(self, slot: int, prompt: Sequence[int], draw: Draw) -> None:
        """How the slot's next tokens are drawn, and which tokens its penalty counts."""

    def use_banks(self, first: int, count: int) -> None:
        """Which banks rows may name from the next run on."""

    def spare_bank(self) -> Bank:
        """Device memory for an adapter that is being staged; its own, touched by no run."""

    def load_bank(self, number: int, bank: Bank) -> None:
        """Copy a staged adapter into one of the two banks, between two runs."""

    def memory_bytes(self) -> int:
        """Device memory in use."""
