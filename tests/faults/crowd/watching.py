"""The Bot API server's own clock: when updates were handed over and when final texts came.

Sees every call as the server does, before the bot has its answer. Knows marks;
knows nothing of the bot's inside.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from bot.playground.faults import Faults
from tests.faults.crowd.words import SPOKEN, mark_in, person_of


class Watching(Faults):
    """Times by mark; `order` holds each person's answered marks as they came."""

    def __init__(self) -> None:
        super().__init__(keep=0)
        self.handed: dict[str, float] = {}
        self.arrived: dict[str, float] = {}
        self.order: dict[int, list[str]] = {}
        self.confirmed: list[float] = []
        self.methods: Counter[str] = Counter()
        self._unconfirmed: tuple[int, float] | None = None

    async def around(
        self, method: str, arguments: dict[str, Any], work: Callable[[], Awaitable[Any]]
    ) -> Any:
        now = time.monotonic()
        self.methods[method] += 1
        if method == "getUpdates":
            self._confirms(int(arguments.get("offset") or 0), now)
            found = await super().around(method, arguments, work)
            self._hands_over(found)
            return found
        result = await super().around(method, arguments, work)
        if method in ("editMessageText", "sendMessage"):
            self._arrives(str(arguments.get("text", "")), now)
        return result

    def _confirms(self, offset: int, now: float) -> None:
        if self._unconfirmed and offset > self._unconfirmed[0]:
            self.confirmed.append(now - self._unconfirmed[1])
            self._unconfirmed = None

    def _hands_over(self, updates: list[dict[str, Any]]) -> None:
        now = time.monotonic()
        for update in updates:
            self.handed.setdefault(mark_in(update.get("message", {}).get("text", "")), now)
        if updates:
            self._unconfirmed = max(each["update_id"] for each in updates), now

    def _arrives(self, text: str, now: float) -> None:
        mark = mark_in(text)
        if mark and SPOKEN in text and mark not in self.arrived:
            self.arrived[mark] = now
            self.order.setdefault(person_of(mark), []).append(mark)
