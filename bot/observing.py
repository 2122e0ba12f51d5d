"""What happened in the bot's turns, as numbers: for an operator, never with anyone's words.

Knows outcomes and seconds; knows nothing of people, text or where the numbers
are shown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, Protocol

End = Literal["model", "fixed", "stopped", "failed", "guarded", "dropped"]
Event = Literal[
    "quarantined", "handler_error", "store_error", "undeliverable", "poll_restart", "emergency"
]


@dataclass(frozen=True, slots=True)
class TurnReport:
    """How one turn went. Seconds from the request to the model; 0 where no model was asked."""

    end: End
    queued_s: float = 0.0
    first_token_s: float = 0.0
    total_s: float = 0.0
    tokens: int = 0


class TurnObserver(Protocol):
    """Is told what happened; must not fail and must not wait."""

    def turn_ended(self, report: TurnReport) -> None:
        """A turn is over."""

    def happened(self, event: Event) -> None:
        """Something that an operator may want to look at."""

    def decided(self, level: int) -> None:
        """The safety gate gave a message this level, 0 to 3."""

    def received(self) -> None:
        """An update was put on disk."""


@dataclass
class Counts:
    """Counts since the start, for `/status`. Passes everything on to `others`."""

    ends: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    others: list[TurnObserver] = field(default_factory=list)

    def turn_ended(self, report: TurnReport) -> None:
        """See TurnObserver."""
        self.ends[report.end] += 1
        for other in self.others:
            other.turn_ended(report)

    def happened(self, event: Event) -> None:
        """See TurnObserver."""
        self.events[event] += 1
        for other in self.others:
            other.happened(event)

    def decided(self, level: int) -> None:
        """See TurnObserver."""
        for other in self.others:
            other.decided(level)

    def received(self) -> None:
        """See TurnObserver."""
        for other in self.others:
            other.received()
