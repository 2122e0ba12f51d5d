"""What the store's parts share. Knows no table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime, time
from typing import Any

from bot.clock import Clock
from bot.store.keyring import Keyring
from bot.store.sessions import Sessions
from bot.store.whole import Whole


class Part(Whole):
    """One theme of the store. No session is open when a method has returned."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        super().__init__(sessions.threads)
        # Told when a person's key was destroyed, for copies of it elsewhere.
        self.when_forgotten: Callable[[], Awaitable[None]] | None = None
        # Told of an update that was damaged on disk, and of the chat that it came from.
        self.when_damaged: Callable[[int, int | None], Awaitable[None]] | None = None
        self._sessions, self._clock = sessions, clock

    @property
    def _keys(self) -> Keyring:
        return self._sessions.keys


def storable(value: str) -> str:
    """Text that UTF-8 can hold: lone surrogates become question marks."""
    return value.encode("utf-8", "replace").decode("utf-8")


def plain(item: Any) -> dict[str, Any]:
    """A row as values that JSON knows."""
    values = {column.name: getattr(item, column.name) for column in item.__table__.columns}
    return {
        k: v.isoformat() if isinstance(v, date | datetime | time) else v for k, v in values.items()
    }
