"""A person in danger is asked again, after restarts too, until they say that they are safe."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from bot.asking import Asked
from bot.follow_up import FollowUps
from bot.safety.types import Assessment, Level
from bot.store.store import Store
from bot.store.tables import Person
from tests.store.house import Hands, open_store

HIGH = Assessment(Level.HIGH, 0.9, ("suicide.self",))
IMMINENT = Assessment(Level.IMMINENT, 0.97, ("suicide.plan",))
QUIET = Assessment(Level.CONCERN, 0.4)
STEPS = (15, 180)


class Asking:
    """Notes who is asked; fails as often as it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Level]] = []
        self.failures = 0
        self.reached = True

    async def __call__(self, person: Person, level: Level) -> bool:
        if self.failures:
            self.failures -= 1
            raise OSError
        self.asked.append((person.id, level))
        return self.reached


@pytest.fixture
def asking() -> Asking:
    return Asking()


@pytest.fixture
def follow_ups(store: Store, clock: Hands, asking: Asking) -> FollowUps:
    return FollowUps(store, clock, asking, STEPS)


async def hear(
    follow_ups: FollowUps, store: Store, found: Assessment, text: str = "", person: int = 7
) -> None:
    talk = await store.conversation(person, person)
    await follow_ups.heard(Asked("1", person, person, text), talk, found)


async def after(follow_ups: FollowUps, clock: Hands, **time: float) -> int:
    clock.now += timedelta(**time)
    return await follow_ups.tick()


async def test_imminent_danger_is_asked_after_the_first_time_and_then_after_the_next(
    follow_ups: FollowUps, store: Store, clock: Hands, asking: Asking
) -> None:
    await hear(follow_ups, store, IMMINENT)
    assert await after(follow_ups, clock, minutes=14) == 0
    assert await after(follow_ups, clock, minutes=1) == 1
    assert await after(follow_ups, clock, minutes=179) == 0
    assert await after(follow_ups, clock, minutes=1) == 1
    assert await after(follow_ups, clock, days=2) == 0
    assert asking.asked == [(7, Level.IMMINENT)] * 2


async def test_high_risk_begins_with_the_second_time(
    follow_ups: FollowUps, store: Store, clock: Hands
) -> None:
    await hear(follow_ups, store, HIGH)
    assert await after(follow_ups, clock, minutes=179) == 0
    assert await after(follow_ups, clock, minutes=1) == 1


async def test_danger_that_is_said_again_is_asked_once_and_later(
    follow_ups: FollowUps, store: Store, clock: Hands, asking: Asking
) -> None:
    await hear(follow_ups, store, IMMINENT)
    clock.now += timedelta(minutes=10)
    await hear(follow_ups, store, IMMINENT)
    assert await after(follow_ups, clock, minutes=6) == 0
    assert await after(follow_ups, clock, minutes=9) == 1
    assert len(asking.asked) == 1


async def test_a_person_who_says_that_they_are_safe_is_not_asked(
    follow_ups: FollowUps, store: Store, clock: Hands
) -> None:
    await hear(follow_ups, store, IMMINENT)
    await hear(follow_ups, store, QUIET, "I'm safe now.")
    assert await after(follow_ups, clock, days=2) == 0


async def test_thanks_alone_does_not_end_the_asking(
    follow_ups: FollowUps, store: Store, clock: Hands
) -> None:
    await hear(follow_ups, store, IMMINENT)
    await hear(follow_ups, store, QUIET, "thank you")
    assert await after(follow_ups, clock, minutes=15) == 1


async def test_the_safe_button_ends_the_asking_and_opens_the_lock(
    follow_ups: FollowUps, store: Store, clock: Hands
) -> None:
    await hear(follow_ups, store, IMMINENT)
    await store.set_risk(7, 7, 3)
    await follow_ups.safe(7)
    assert await after(follow_ups, clock, days=1) == 0
    assert (await store.conversation(7, 7)).risk == Level.CONCERN


async def test_what_is_owed_survives_a_restart(
    tmp_path: Path, store: Store, clock: Hands, asking: Asking, follow_ups: FollowUps
) -> None:
    await hear(follow_ups, store, IMMINENT)
    await store.close()
    again = await open_store(tmp_path, clock)
    assert await after(FollowUps(again, clock, asking, STEPS), clock, minutes=16) == 1
    await again.close()


async def test_one_that_a_crash_cut_off_is_asked_after_the_start(
    store: Store, clock: Hands, asking: Asking, follow_ups: FollowUps
) -> None:
    await hear(follow_ups, store, IMMINENT)
    clock.now += timedelta(minutes=15)
    assert len(await store.claim_follow_ups()) == 1  # and then the process died
    follow_ups = FollowUps(store, clock, asking, STEPS, tick_s=0.05)
    follow_ups.start()
    for _ in range(400):
        if asking.asked:
            break
        await asyncio.sleep(0.05)
    await follow_ups.stop()
    assert asking.asked == [(7, Level.IMMINENT)]


async def test_a_network_that_is_away_is_tried_again(
    follow_ups: FollowUps, store: Store, clock: Hands, asking: Asking
) -> None:
    await hear(follow_ups, store, IMMINENT)
    asking.failures = 1
    assert await after(follow_ups, clock, minutes=15) == 0
    assert await after(follow_ups, clock, minutes=5) == 1


async def test_somebody_who_left_is_not_asked_for_ever(
    follow_ups: FollowUps, store: Store, clock: Hands, asking: Asking
) -> None:
    await hear(follow_ups, store, IMMINENT)
    asking.reached = False
    assert await after(follow_ups, clock, minutes=15) == 0
    assert await after(follow_ups, clock, days=1) == 0
    assert len(asking.asked) == 1


async def test_a_question_that_is_days_late_is_not_sent(
    follow_ups: FollowUps, store: Store, clock: Hands, asking: Asking
) -> None:
    await hear(follow_ups, store, IMMINENT)
    assert await after(follow_ups, clock, days=4) == 0
    assert asking.asked == []


async def test_groups_are_not_asked(follow_ups: FollowUps, store: Store, clock: Hands) -> None:
    talk = await store.conversation(7, -5)
    await follow_ups.heard(Asked("1", 7, -5, "help"), talk, IMMINENT)
    assert await after(follow_ups, clock, days=1) == 0


async def test_an_erased_person_is_owed_nothing(
    follow_ups: FollowUps, store: Store, clock: Hands
) -> None:
    await hear(follow_ups, store, IMMINENT)
    await store.forget(7)
    assert await after(follow_ups, clock, days=1) == 0
    assert await store.open_follow_up(7) is None
