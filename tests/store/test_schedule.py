"""Check-ins once for each local date, retention and housekeeping, with a clock turned by hand."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from bot.schedule import GRACE, Schedule
from bot.store.store import Store
from bot.store.tables import Person
from tests.store.house import Hands, bytes_in, open_store, talk, update

NINE_IN_BERLIN = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Sender:
    """Notes whom it was to write to; fails for those it is told to."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.fails: set[int] = set()
        self.called = asyncio.Event()

    async def __call__(self, person: Person) -> None:
        self.called.set()
        if person.id in self.fails:
            raise ConnectionError("a name that must not be logged")
        self.sent.append(person.id)


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def schedule(store: Store, clock: Hands, sender: Sender) -> Schedule:
    return Schedule(store, clock, sender, 90)


async def wish(store: Store, person: int, at: time = time(9), zone: str = "Europe/Berlin") -> None:
    await store.person(person)
    await store.set_person(
        person, check_in_at=at, timezone=zone, check_in_since=datetime(2026, 1, 1, tzinfo=UTC)
    )


async def test_a_check_in_comes_at_the_persons_own_time_and_once(
    store: Store, clock: Hands, sender: Sender, schedule: Schedule
) -> None:
    await wish(store, 1)
    await wish(store, 2, zone="Asia/Tokyo")
    await store.person(3)
    clock.now = NINE_IN_BERLIN - timedelta(seconds=1)
    assert await schedule.check_in() == 0
    clock.now = NINE_IN_BERLIN
    assert [await schedule.check_in(), await schedule.check_in()] == [1, 0]
    assert sender.sent == [1]
    clock.now += timedelta(days=1)
    assert await schedule.check_in() == 1


async def test_a_restart_does_not_repeat_a_check_in(
    store: Store, clock: Hands, sender: Sender, schedule: Schedule, tmp_path: Path
) -> None:
    await wish(store, 1)
    clock.now = NINE_IN_BERLIN
    await schedule.check_in()
    again = await open_store(tmp_path, clock)
    assert await Schedule(again, clock, sender, 90).check_in() == 0
    await again.close()


async def test_two_schedules_at_once_make_one_check_in(
    store: Store, clock: Hands, sender: Sender, schedule: Schedule, tmp_path: Path
) -> None:
    await wish(store, 1)
    clock.now = NINE_IN_BERLIN
    other = await open_store(tmp_path, clock)
    made = await asyncio.gather(
        schedule.check_in(), Schedule(other, clock, sender, 90).check_in(), schedule.check_in()
    )
    assert sum(made) == 1
    await other.close()


@pytest.mark.parametrize(("late", "made"), [(GRACE - timedelta(minutes=1), 1), (GRACE, 0)])
async def test_a_check_in_that_was_missed_by_two_hours_is_left_out(
    store: Store, clock: Hands, schedule: Schedule, late: timedelta, made: int
) -> None:
    await wish(store, 1)
    clock.now = NINE_IN_BERLIN + late
    assert await schedule.check_in() == made


async def test_a_time_set_just_now_does_not_fire_for_the_past(
    store: Store, clock: Hands, schedule: Schedule
) -> None:
    await wish(store, 1)
    clock.now = NINE_IN_BERLIN + timedelta(minutes=30)
    await store.set_person(1, check_in_since=clock.now)
    assert await schedule.check_in() == 0
    clock.now += timedelta(hours=23, minutes=30)
    assert await schedule.check_in() == 1


async def test_a_doubled_hour_fires_once_and_a_skipped_one_fires_after_it(
    store: Store, clock: Hands, schedule: Schedule
) -> None:
    await wish(store, 1, time(2, 30))
    made = {}
    for first in (datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)):
        for minutes in range(0, 12 * 60, 10):
            clock.now = first + timedelta(minutes=minutes)
            if await schedule.check_in():
                made[clock.now] = first
    assert list(made) == [
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    ]


async def test_travelling_west_does_not_check_in_twice_on_one_date(
    store: Store, clock: Hands, schedule: Schedule
) -> None:
    await wish(store, 1, zone="Asia/Tokyo")
    clock.now = datetime(2026, 3, 2, 0, tzinfo=UTC)
    assert await schedule.check_in() == 1
    await store.set_person(1, timezone="America/Los_Angeles")
    clock.now = datetime(2026, 3, 2, 17, tzinfo=UTC)
    assert await schedule.check_in() == 0


async def test_one_persons_failure_is_nobody_elses_and_is_not_repeated(
    store: Store,
    clock: Hands,
    sender: Sender,
    schedule: Schedule,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for person in range(1, 31):
        await wish(store, person)
    await store.set_person(5, timezone="Nowhere/At_All")
    sender.fails = {7}
    clock.now = NINE_IN_BERLIN
    with caplog.at_level(logging.INFO):
        assert await schedule.check_in() == 28
    assert set(range(1, 31)) - set(sender.sent) == {5, 7}
    assert await schedule.check_in() == 0
    assert "ConnectionError" in caplog.text
    assert "a name" not in caplog.text


async def test_nobody_who_was_erased_is_written_to(
    store: Store, clock: Hands, schedule: Schedule
) -> None:
    await wish(store, 1)
    clock.now = NINE_IN_BERLIN
    await store.forget(1)
    assert await store.claim_check_in(1, clock.now.date(), clock.now) is None
    assert await schedule.check_in() == 0


async def test_retention_deletes_what_is_older_than_the_persons_setting(
    store: Store, clock: Hands, schedule: Schedule
) -> None:
    strict, lax = await talk(store, 1, "a"), await talk(store, 2, "b")
    greedy = await talk(store, 3, "c")
    await store.set_person(1, retention_days=7)
    await store.set_person(3, retention_days=9999)
    clock.now += timedelta(days=7, seconds=1)
    await talk(store, 1, "fresh")
    await schedule.tidy()
    assert [m.text for m in await store.history(strict)] == ["fresh"]
    assert len(await store.history(lax)) == 1
    clock.now += timedelta(days=90)
    assert await store.retain(90) == 3
    assert await store.history(greedy) == []


async def test_the_days_compaction_leaves_no_trace_of_old_messages(
    store: Store, clock: Hands, schedule: Schedule, tmp_path: Path
) -> None:
    await store.person(1)
    await store.set_person(1, retention_days=5)
    for number in range(200):
        await talk(store, 1, f"marker-4410 {'z' * (number * 37 % 2500)}")
        await talk(store, 2, "y" * (number * 61 % 2500))
    clock.now += timedelta(days=6)
    await schedule.compact()
    assert b"marker-4410" not in bytes_in(tmp_path)


async def test_housekeeping_keeps_what_is_open_and_drops_what_has_served(
    store: Store, clock: Hands, schedule: Schedule, tmp_path: Path
) -> None:
    await store.receive([update(1), update(2), update(3)])
    await store.finish_update(1)
    await store.quarantine_update(2, "ValueError")
    clock.now += timedelta(days=1)
    await schedule.tidy()
    assert await store.receive([update(1)]) == []
    clock.now += timedelta(days=2)
    await schedule.tidy()
    assert await store.receive([update(1)]) == [update(1)]
    assert [u.update_id for u in await store.quarantined()] == [2]
    clock.now += timedelta(days=20)
    await schedule.tidy()
    assert await store.quarantined() == []
    assert await store.open_updates() == [update(1), update(3)]
    assert (tmp_path / "lanner.db-wal").stat().st_size == 0


async def test_once_started_it_ticks_by_itself_and_ends_when_told(
    store: Store, clock: Hands, sender: Sender
) -> None:
    await wish(store, 1)
    clock.now = NINE_IN_BERLIN
    schedule = Schedule(store, clock, sender, 90, tick_s=0.05)
    schedule.start()
    async with asyncio.timeout(20):
        await sender.called.wait()
    await schedule.stop()
    assert sender.sent == [1]


async def test_a_failing_job_does_not_end_the_ticking(store: Store, sender: Sender) -> None:
    await wish(store, 1)
    times = iter([True, True, True])

    def broken_clock() -> datetime:
        if next(times, None):
            raise OSError("the clock is broken")
        return NINE_IN_BERLIN

    schedule = Schedule(store, broken_clock, sender, 90, tick_s=0.05)
    schedule.start()
    async with asyncio.timeout(20):
        await sender.called.wait()
    await schedule.stop()
    assert sender.sent == [1]
