"""Updates that wait for the bot, fetched by getUpdates or sent to its webhook.

Keeps Telegram's rules of confirmation and of one reader at a time. Knows nothing of
what is in an update, nor of HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bot.playground.errors import ApiError

Update = dict[str, Any]
MOST = 100_000
# What Telegram sends only when it is asked for by name.
SPECIAL = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
TAKEN = ApiError(409, "Conflict: terminated by other getUpdates request; make sure that only one "
                 "bot instance is running")  # fmt: skip
HOOKED = ApiError(409, "Conflict: can't use getUpdates method while webhook is active; use "
                  "deleteWebhook to delete the webhook first")  # fmt: skip


@dataclass
class Webhook:
    """Where updates are sent to, and how the last try went."""

    url: str
    secret: str = ""
    connections: int = 40
    last_error: str = ""
    last_error_at: int = 0


class Updates:
    """`waiting` by number; whatever is confirmed is gone."""

    def __init__(self, first: int) -> None:
        self.waiting: dict[int, Update] = {}
        self.webhook: Webhook | None = None
        self.allowed: frozenset[str] = frozenset()
        self.again: int = 0
        self.closing = False
        self._numbers = itertools.count(first)
        self._arrived = asyncio.Event()
        self._reader = 0
        self._doubled: dict[int, Update] = {}

    def begin(self, number: int) -> None:
        """Number from here on, unless the numbers are there already."""
        self._numbers = itertools.count(max(number, next(self._numbers)))

    def push(self, kind: str, body: Any) -> None:
        """Queue an update, unless the bot did not ask for its kind."""
        if not (kind in self.allowed if self.allowed else kind not in SPECIAL):
            return
        number = next(self._numbers)
        self.waiting[number] = {"update_id": number, kind: body}
        if len(self.waiting) > MOST:
            del self.waiting[next(iter(self.waiting))]
        self.wake()

    def wake(self) -> None:
        """Whoever waits looks again."""
        self._arrived.set()
        self._arrived = asyncio.Event()

    async def arrived(self, seconds: float) -> bool:
        """Wait for a change; False when there was none in time."""
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def allow(self, kinds: Iterable[str]) -> None:
        """From now on only these kinds; none means the usual ones."""
        self.allowed = frozenset(kinds)

    def confirm(self, offset: int) -> None:
        """Forget what is below `offset`; a negative one keeps only so many of the newest."""
        if offset < 0:
            offset = sorted(self.waiting)[offset:][0] if self.waiting else 0
        for number in [n for n in sorted(self.waiting) if n < offset]:
            update = self.waiting.pop(number)
            if self.again > 0:
                self.again -= 1
                self._doubled[number] = update

    async def read(self, offset: int, limit: int, timeout_s: float) -> list[Update]:
        """A long poll; a newer one ends the older with 409, as at Telegram."""
        if self.webhook:
            raise HOOKED
        self._reader = mine = self._reader + 1
        self.wake()
        self.confirm(offset)
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while not (self.waiting or self._doubled or self.closing):
            if not await self.arrived(max(end - loop.time(), 0)) and loop.time() >= end:
                break
            if self._reader != mine:
                raise TAKEN
            if self.webhook:
                raise HOOKED
        found = list(self._doubled.values()) + [self.waiting[n] for n in sorted(self.waiting)]
        self._doubled.clear()
        return found[:limit]
