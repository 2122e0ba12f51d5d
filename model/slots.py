"""Which tokens stand in which slot: whose conversation is parked where, and what can be kept.

A conversation finds its own slot again and nobody else's, and keeps the tokens
that its new prompt begins with. Knows token ids and opaque keys; knows nothing
of tensors, adapters or text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Slot:
    """One row of KV: the tokens that stand in it, whose they are, and when it was last used."""

    number: int
    tokens: list[int] = field(default_factory=list)
    conversation: str | None = None
    used: int = 0
    busy: bool = False


class Slots:
    """All slots of a decoder; the one used longest ago gives way."""

    def __init__(self, count: int) -> None:
        self._slots = [Slot(number) for number in range(count)]
        self._now = 0

    @property
    def parked(self) -> int:
        """How many conversations stand ready between two turns."""
        return sum(1 for slot in self._slots if slot.conversation is not None and not slot.busy)

    def take(
        self, conversation: str, prompt: Sequence[int], usable: Callable[[int], bool]
    ) -> tuple[int, int]:
        """A free slot, and how many tokens of `prompt` stand in it already.

        `usable(slot)` says whether the KV was written on the adapter that runs.
        The last prompt token is never kept: it must be put in to draw the next.
        """
        free = [slot for slot in self._slots if not slot.busy]
        own = [slot for slot in free if slot.conversation == conversation]
        chosen = min(own or free, key=lambda slot: (slot.conversation is not None, slot.used))
        keep = _common(chosen.tokens, prompt[:-1]) if own and usable(chosen.number) else 0
        self._now += 1
        chosen.busy, chosen.used, chosen.conversation = True, self._now, conversation
        chosen.tokens = []
        return chosen.number, keep

    def park(self, number: int, tokens: Sequence[int]) -> None:
        """A sequence ended; `tokens` are those whose KV is sure to stand in the slot."""
        slot = self._slots[number]
        self._now += 1
        slot.busy, slot.used, slot.tokens = False, self._now, list(tokens)

    def clear(self) -> None:
        """Nothing stands anywhere."""
        self._slots = [Slot(slot.number) for slot in self._slots]


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """The length of the longest common prefix."""
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))
