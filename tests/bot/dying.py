"""A store that ends the process, as far as its caller can tell, before or after its nth write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bot.store.store import Store
from tests.bot.house import House

WRITES = (
    "add_message", "begin_update", "begin_unsuspected", "finish_update", "generated", "begin_turn",
    "place", "decide", "sent", "set_risk", "note_talk", "begin_sitting", "keep_answers",
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


async def dies_at(house: House, step: int) -> None:
    """The house again, with a store that dies at this step."""

    class Dying(DyingStore):
        die_at = step

    await house.close()
    house.open_store = Dying.open
    await house.open()


async def died(house: House, there: Callable[[], bool]) -> bool:
    """Until the store died or what is waited for is there and nothing is under way.

    Whether it died: then the house is open again, with a store that lives.
    """
    store = house.lanner.store
    assert isinstance(store, DyingStore)
    await house.until(lambda: store.dead.is_set() or (there() and not house.lanner.inbox.workers()))
    if store.dead.is_set():
        await house.crash()
        house.open_store = Store.open
        await house.open()
        return True
    return False
