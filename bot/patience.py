"""Calls to Telegram that a dead network or a flood limit delays and never loses.

Only for calls that may be repeated. Each call waits by itself, so that one
chat's limit is nobody else's. Knows errors and waiting; knows no method.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from telegram.error import BadRequest, NetworkError, RetryAfter

FIRST_S, MOST_S = 0.5, 5.0
T = TypeVar("T")


class Backoff:
    """Waits twice as long each time, from FIRST_S to `most_s`."""

    def __init__(self, most_s: float = MOST_S) -> None:
        self._next_s, self._most_s = FIRST_S, most_s

    async def wait(self) -> None:
        """Wait, longer than the last time."""
        await asyncio.sleep(self._next_s)
        self._next_s = min(self._next_s * 2, self._most_s)


def pause_s(refused: RetryAfter) -> float:
    """Seconds that Telegram asks to wait."""
    return float(refused._retry_after.total_seconds())


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """The call's result, however long that takes; raises what waiting cannot mend."""
    backoff = Backoff()
    while True:
        try:
            return await call()
        except RetryAfter as refused:
            await asyncio.sleep(pause_s(refused))
        except BadRequest:
            # A NetworkError by inheritance only: the same call would fail again.
            raise
        except NetworkError:
            await backoff.wait()
