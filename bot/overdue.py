"""A disk that is slow, not broken: what waits for it too long is looked at by somebody else.

A statement that hangs raises nothing for many seconds. This watches how long
the store's oldest call has been running, and hands every update that is not
done meanwhile to `act`, once. Knows updates' numbers and the store's clock;
knows nothing of what an update means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bot import raw

SLOW_S, LOOK_S = 2.0, 0.25
log = logging.getLogger(__name__)


class Overdue:
    """A background service. `waiting_s` tells how long the store has been busy with one call."""

    def __init__(
        self,
        waiting_s: Callable[[], float],
        act: Callable[[raw.Raw], Awaitable[None]],
        over: Callable[[int], None],
        slow_s: float = SLOW_S,
    ) -> None:
        self._waiting_s, self._act, self._over, self._slow_s = waiting_s, act, over, slow_s
        self._open: dict[int, raw.Raw] = {}
        self._seen: set[int] = set()
        self._acting: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def begin(self, update: raw.Raw) -> bool:
        """The update is here and waits for the disk from now on; False when it did already."""
        number = int(update["update_id"])
        if number in self._open:
            return False
        self._open[number] = update
        return True

    def leave(self, number: int) -> None:
        """Others see to this update, or did already."""
        self._open.pop(number, None)
        self._seen.discard(number)

    def end(self, number: int) -> None:
        """The update is done with, and so is what was noted of it."""
        self.leave(number)
        self._over(number)

    def start(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.create_task(self._run(), name="overdue")

    async def stop(self) -> None:
        """End, and what is under way with it."""
        tasks = [task for task in (self._task, *self._acting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            late = [number for number in self._open if number not in self._seen]
            if late and self._waiting_s() >= self._slow_s:
                log.warning("The database is slow: %d updates wait for it.", len(self._open))
                for number in late:
                    self._seen.add(number)
                    self._begin_act(self._open[number])

    def _begin_act(self, update: raw.Raw) -> None:
        task = asyncio.create_task(self._acted(update), name="overdue update")
        self._acting.add(task)
        task.add_done_callback(self._acting.discard)

    async def _acted(self, update: raw.Raw) -> None:
        try:
            await self._act(update)
        except Exception as error:
            log.error("A late update could not be looked at: %s", type(error).__name__)
