"""A disk that is slow: nothing is confirmed before it is kept, and danger does not wait for it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bot.house import House
from tests.faults.people import DANGER, answers, crisis_texts, heard


@asynccontextmanager
async def held(house: House) -> AsyncIterator[None]:
    """Somebody else writes for a long time: the write lock is theirs meanwhile."""
    path = house.folder / "lanner.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_what_a_slow_disk_has_not_kept_is_not_confirmed_and_danger_is_answered_at_once(
    house: House,
) -> None:
    for name in ("ada", "bo"):
        await house.agree(name)
    async with held(house):
        house.world.say("ada", "hello")
        house.world.say("bo", DANGER)
        await house.until(lambda: crisis_texts(house, "bo"))
        assert len(house.world.updates.waiting) == 2
        assert answers(house, "ada") == []
    await house.until(lambda: answers(house, "ada") == [heard("hello")])
    await house.until(lambda: house.lanner.counts.ends["fixed"])
    await house.settled()
    assert crisis_texts(house, "bo") == 1


async def test_danger_whose_turn_the_disk_holds_up_half_way_is_answered_once(house: House) -> None:
    await house.agree("bo")
    placed = house.faults.delay("sendMessage", 0.5, times=1)
    house.world.say("bo", DANGER)
    await house.until(lambda: placed.met)
    async with held(house):
        await house.until(lambda: crisis_texts(house, "bo"))
    await house.until(lambda: house.lanner.counts.ends["fixed"])
    await house.settled()
    assert crisis_texts(house, "bo") == 1
    assert [m.get("text") for m in house.chat("bo").messages.values()].count("…") == 0


async def test_a_disk_that_was_slow_for_a_while_loses_and_doubles_nothing(house: House) -> None:
    await house.agree("ada")
    house.model.free.clear()
    house.world.say("ada", "number 0")
    await house.until(lambda: house.model.asked)
    async with held(house):
        house.model.free.set()
        for number in range(1, 4):
            house.world.say("ada", f"number {number}")
        await house.until(lambda: house.lanner.store.waiting_s() > 1)
    wanted = [heard(f"number {number}") for number in range(4)]
    await house.until(lambda: answers(house, "ada") == wanted)
    await house.settled()
    assert answers(house, "ada") == wanted
