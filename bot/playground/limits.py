"""How fast a bot may send: Telegram's published rules, switched on where a test wants them.

Telegram's exact counters are secret; these are the rules of its FAQ: about one message
a second in a chat, twenty a minute in a group, thirty a second in all.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bot.playground.errors import too_many


@dataclass(frozen=True)
class Rule:
    """At most `count` in any `seconds`."""

    count: int
    seconds: float


CHAT, GROUP, ALL = Rule(1, 1.0), Rule(20, 60.0), Rule(30, 1.0)


class Limits:
    """Counts what is sent; off until `on` is set."""

    def __init__(self, clock: Callable[[], float], *, on: bool = False) -> None:
        self.on, self._clock = on, clock
        self.chat, self.group, self.all = CHAT, GROUP, ALL
        self._sent: dict[int, deque[float]] = {}

    def count(self, chat_id: int) -> None:
        """One more message to a chat; raises 429 with the seconds to wait."""
        if not self.on:
            return
        now = self._clock()
        lines = [(chat_id, self.group if chat_id < 0 else self.chat), (0, self.all)]
        waits = [self._wait(key, rule, now) for key, rule in lines]
        if max(waits) > 0:
            raise too_many(math.ceil(max(waits)))
        for key, _ in lines:
            self._sent[key].append(now)

    def _wait(self, key: int, rule: Rule, now: float) -> float:
        line = self._sent.setdefault(key, deque())
        while line and line[0] <= now - rule.seconds:
            line.popleft()
        return line[-rule.count] + rule.seconds - now if len(line) >= rule.count else 0
