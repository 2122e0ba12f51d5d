"""A store that ends the process, as far as its caller can tell, before or after its nth write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bot.store.store import Store

WRITES = (
    "add_message", "begin_update", "begin_unsuspected", "finish_update", "generated", "open_turn",
    "place", "record_decision", "sent", "set_risk", "cut_from", "begin_sitting", "keep_answers",
)  # fmt: skip


class Death(BaseException):
    """No handler of exceptions stops it."""


class DyingStore(Store):
    """Dies at step `die_at`; steps are counted in `steps`: one before and one after each write."""

    die_at = -1
    steps = 0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.dead = asyncio.Event()
        for name in WRITES:
            setattr(self, name, self._risky(getattr(self, name)))

    def _risky(self, write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def risky(*given: Any, **named: Any) -> Any:
            self._step()
            result = await write(*given, **named)
            self._step()
            return result

        return risky

    def _step(self) -> None:
        self.steps += 1
        if self.dead.is_set() or self.steps - 1 == self.die_at:
            self.dead.set()
            raise Death
