"""Requests on their way through the queue, and the desk that keeps them.

Everything here is called under the queue's lock. Knows nothing of threads,
tokens or Telegram.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model.engine import Running
from model.types import Event, ModelUnavailable, Queued, QueueFull, Request
from model.waiting import WaitingRoom

FULL = "Too many people are waiting for a reply right now. Please try again in a minute."
TWICE = "This message is already being answered."
# What a reply is thought to take before one was measured.
FIRST_GUESS_S = 5.0


@dataclass(eq=False, slots=True)
class Ticket:
    """A request on its way; `emit` may be called from the worker's thread."""

    request: Request
    emit: Callable[[Event], None]
    born: float
    cancelled: bool = False
    running: Running | None = None
    place: int = 0

    @property
    def text(self) -> str:
        """What was written so far."""
        return self.running.stream.text if self.running else ""


class Desk:
    """Who waits, who is being answered, and how long it takes."""

    def __init__(self, capacity: int) -> None:
        self._waiting: WaitingRoom[Ticket] = WaitingRoom(capacity, lambda t: t.request.owner)
        self._tickets: dict[str, Ticket] = {}
        self._reply_s = FIRST_GUESS_S
        self.slots = 1

    @property
    def capacity(self) -> int:
        """How many may wait."""
        return self._waiting.capacity

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many are being answered."""
        return sum(1 for ticket in self.all() if ticket.running)

    def all(self) -> list[Ticket]:
        """Everyone, waiting or being answered."""
        return list(self._tickets.values())

    def find(self, request_id: str) -> Ticket | None:
        """The ticket of a request that has not ended."""
        return self._tickets.get(request_id)

    def admit(self, ticket: Ticket) -> None:
        """Let a request wait; raises QueueFull."""
        if ticket.request.id in self._tickets:
            raise ModelUnavailable(TWICE)
        if not self._waiting.add(ticket):
            raise QueueFull(FULL)
        self._tickets[ticket.request.id] = ticket
        self._tell_places()

    def take(self, most: int) -> list[Ticket]:
        """The next to be answered, of different owners, none of whom is being answered."""
        busy = {t.request.owner for t in self._tickets.values() if t.running}
        taken: list[Ticket] = []
        while len(taken) < most and (ticket := self._waiting.take(busy)) is not None:
            busy.add(ticket.request.owner)
            taken.append(ticket)
        if taken:
            self._tell_places()
        return taken

    def close(self, ticket: Ticket, took_s: float | None = None) -> bool:
        """Forget a request that has ended; `took_s` if it was answered to the end.

        False when it had ended before.
        """
        if self._tickets.get(ticket.request.id) is not ticket:
            return False
        del self._tickets[ticket.request.id]
        if took_s is not None:
            self._reply_s = 0.8 * self._reply_s + 0.2 * took_s
        if self._waiting.remove(ticket):
            self._tell_places()
        return True

    def _tell_places(self) -> None:
        for place, ticket in enumerate(self._waiting.in_order(), start=1):
            if ticket.place != place:
                ticket.place = place
                ticket.emit(Queued(place, round(self._reply_s * -(-place // self.slots), 1)))
