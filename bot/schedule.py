"""What happens by the clock: check-ins, retention, housekeeping.

APScheduler only ticks. What is due is computed from people's settings at each
tick and what was done stands in the table, so that neither a restart nor a
change of the clock makes a check-in twice. Knows nothing of what a check-in
says: `send_check_in` does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.clock import Clock, instant
from bot.store.store import Store
from bot.store.tables import Person

GRACE = timedelta(hours=2)
SENT_AT_ONCE = 8
log = logging.getLogger(__name__)

SendCheckIn = Callable[[Person], Awaitable[None]]


def due(
    now: datetime, wall: time, zone: ZoneInfo, since: datetime | None
) -> tuple[date, datetime] | None:
    """The local date and the instant of the check-in that is due now, if one is.

    One that was missed by more than GRACE is not made up for, and neither is
    one of a time before `since`, when the person asked for it.
    """
    today = now.astimezone(zone).date()
    # Yesterday's may still be due shortly after midnight.
    for day in (today, today - timedelta(days=1)):
        at = instant(day, wall, zone)
        if at is not None and at <= now < at + GRACE and (since is None or since <= at):
            return day, at
    return None


class Schedule:
    """`start()`, then by itself until `stop()`; tests call the jobs by hand."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        send_check_in: SendCheckIn,
        retention_days: int,
        tick_s: float = 30,
    ) -> None:
        self._store, self._clock = store, clock
        self._send, self._days, self._tick_s = send_check_in, retention_days, tick_s
        self._ticker = AsyncIOScheduler(timezone=UTC)
        self._running: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Begin to tick: check-ins often, tidying each hour, a new file at once and each day."""
        now = datetime.now(UTC)
        self._every(self.check_in, now, seconds=self._tick_s)
        self._every(self.tidy, now + timedelta(hours=1), hours=1)
        self._every(self.compact, now, hours=24)
        self._ticker.start()

    async def stop(self) -> None:
        """End the ticking and wait for what runs to be cancelled."""
        self._ticker.shutdown(wait=False)
        await asyncio.gather(*self._running, return_exceptions=True)

    async def check_in(self) -> int:
        """Make the check-ins that are due; returns how many were sent."""
        now, few = self._clock(), asyncio.Semaphore(SENT_AT_ONCE)
        claimed = []
        for person in await self._store.people_to_check_in():
            found = _due_for(person, now)
            number = await self._store.claim_check_in(person.id, *found) if found else None
            if number is not None:
                claimed.append(self._make(person, number, few))
        return sum(await asyncio.gather(*claimed))

    async def tidy(self) -> None:
        """Delete what is older than people's settings, and rows that have served."""
        await self._store.retain(self._days)
        await self._store.housekeeping()

    async def compact(self) -> None:
        """Tidy, and leave no trace of what was deleted in the file."""
        await self.tidy()
        await self._store.compact()

    def _every(self, job: Callable[[], Awaitable[Any]], first: datetime, **interval: float) -> None:
        self._ticker.add_job(
            self._guarded,
            "interval",
            [job],
            next_run_time=first,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            **interval,
        )

    async def _make(self, person: Person, number: int, few: asyncio.Semaphore) -> bool:
        async with few:
            try:
                await self._send(person)
            except Exception as error:
                # One person's failure, a blocked bot for example, is nobody else's.
                log.warning("A check-in could not be sent: %s", type(error).__name__)
                await self._store.end_check_in(number, "failed")
                return False
            await self._store.end_check_in(number, "sent")
            return True

    async def _guarded(self, job: Callable[[], Awaitable[Any]]) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the ticker runs coroutines in tasks
        self._running.add(task)
        try:
            await job()
        except asyncio.CancelledError:
            # The ticker ends: to it, a job that passes this on would be one that failed.
            return
        except Exception as error:
            log.error("A job of the schedule failed: %s", type(error).__name__)
        finally:
            self._running.discard(task)


def _due_for(person: Person, now: datetime) -> tuple[date, datetime] | None:
    if person.check_in_at is None or person.timezone is None:
        return None
    try:
        zone = ZoneInfo(person.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        log.warning("A time zone that was set is not known on this machine any more.")
        return None
    return due(now, person.check_in_at, zone, person.check_in_since)
