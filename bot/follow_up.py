"""Asks a person in danger again after a while, until they say that they are safe.

What is owed stands in a table, so that a restart forgets nothing. The words
are fixed and reviewed; no model is asked. Knows when to ask; the texts are in
bot/safety, and Telegram is behind `Send`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.asking import Asked
from bot.clock import Clock
from bot.safety.safe_words import says_safe
from bot.safety.types import Assessment, Level
from bot.store.care_tables import FollowUp
from bot.store.store import Store
from bot.store.tables import Conversation, Person

# Minutes from the danger to each question; a high risk begins with the second.
STEPS = (15, 180, 24 * 60)
TOO_LATE = timedelta(days=3)
AGAIN = timedelta(minutes=5)  # after a network that was away
log = logging.getLogger(__name__)

Send = Callable[[Person, Level], Awaitable[bool]]
"""Asks the person; False when they cannot be reached any more. Raises when it may work later."""


class FollowUps:
    """`start()`, then by itself until `stop()`; tests call `tick` by hand."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        send: Send,
        steps: Sequence[int] = STEPS,
        tick_s: float = 20,
    ) -> None:
        self._store, self._clock, self._send = store, clock, send
        self._steps, self._tick_s = tuple(steps), tick_s
        self._ticker = AsyncIOScheduler(timezone=UTC)
        self._running: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Begin to tick, with what a crash left half done."""
        now = datetime.now(UTC)
        self._ticker.add_job(self._reopen, next_run_time=now, misfire_grace_time=None)
        self._ticker.add_job(
            self._guarded, "interval", seconds=self._tick_s,
            next_run_time=now + timedelta(seconds=1),
            coalesce=True, max_instances=1, misfire_grace_time=None,
        )  # fmt: skip
        self._ticker.start()

    async def stop(self) -> None:
        """End the ticking; a question that is being sent is sent to its end."""
        self._ticker.shutdown(wait=False)
        await asyncio.gather(*self._running, return_exceptions=True)

    async def heard(self, asked: Asked, _talk: Conversation, found: Assessment) -> None:
        """A turn's hook: danger makes a question owed, safety ends it. Groups are not asked."""
        if asked.group:
            return
        if says_safe(asked.text) and found.level < Level.HIGH:
            await self._store.quiet_follow_ups(asked.person)
        elif found.level >= Level.HIGH:
            await self.owe(asked.person, found.level)

    async def owe(self, person_id: int, level: Level, step: int | None = None) -> None:
        """Ask later, from the level's first step on or from `step`; past the last nothing."""
        at = step if step is not None else (0 if level is Level.IMMINENT else 1)
        if at < len(self._steps):
            due = self._clock() + timedelta(minutes=self._steps[at])
            await self._store.owe_follow_up(person_id, person_id, int(level), at, due)

    async def safe(self, person_id: int) -> None:
        """The person pressed that they are safe: nothing more is owed, the lock opens."""
        await self._store.quiet_follow_ups(person_id)
        await self._store.set_risk(person_id, person_id, int(Level.CONCERN))

    async def tick(self) -> int:
        """Ask everyone who is due; returns how many were asked."""
        due = await self._store.claim_follow_ups()
        return sum(await asyncio.gather(*(self._ask(each) for each in due)))

    async def _ask(self, owed: FollowUp) -> bool:
        if self._clock() - owed.due > TOO_LATE:
            log.error("A follow-up came too late: the bot was away for days. Look at /handoff.")
            await self._store.end_follow_up(owed.id, "missed")
            return False
        person = await self._store.person(owed.person_id)
        try:
            reached = await self._send(person, Level(owed.level))
        except Exception as error:
            log.warning("A follow-up could not be sent (%s): trying again.", type(error).__name__)
            later = self._clock() + AGAIN
            await self._store.postpone_follow_up(owed.id, later)
            return False
        await self._store.end_follow_up(owed.id, "sent" if reached else "missed")
        if reached:
            await self.owe(person.id, Level(owed.level), owed.step + 1)
        return reached

    async def _reopen(self) -> None:
        await self._store.reopen_follow_ups()

    async def _guarded(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the ticker runs coroutines in tasks
        self._running.add(task)
        try:
            await self.tick()
        except Exception as error:
            log.error("Follow-ups failed: %s", type(error).__name__)
        finally:
            self._running.discard(task)
