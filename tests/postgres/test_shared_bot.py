"""Two whole bots on one PostgreSQL inbox and one token: every message answered once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.house import House


@pytest.fixture
async def houses(url: str, tmp_path: Path) -> AsyncIterator[tuple[House, House]]:
    """The second shares the first's Telegram, database and master key."""
    first, second = House(tmp_path / "one"), House(tmp_path / "two")
    key = tmp_path / "master.key"
    await first.open(lanner_database_url=url, lanner_master_key_file=key)
    second.telegram = first.telegram
    await second.open(lanner_database_url=url, lanner_master_key_file=key)
    yield first, second
    await second.close()
    await first.leave()


PEOPLE = ["ada", "ben", "cleo", "dan", "eve"]


async def test_two_bots_share_the_work_and_answer_each_message_once(
    houses: tuple[House, House],
) -> None:
    first, second = houses
    for name in PEOPLE:
        await first.agree(name)
    before = {name: len(first.bot_says(name)) for name in PEOPLE}
    for number in range(6):
        for name in PEOPLE:
            first.world.say(name, f"message {number}")
    for name in PEOPLE:
        wanted = before[name] + 6
        await first.until(lambda name=name, wanted=wanted: len(first.bot_says(name)) >= wanted)  # type: ignore[misc]
    store = first.lanner.store
    await first.until(lambda: not first.lanner.inbox.workers() + second.lanner.inbox.workers())
    assert await store.backlog() == 0
    asked = [request.turns[-1].text for request in (*first.model.asked, *second.model.asked)]
    assert sorted(asked) == sorted(f"message {n}" for n in range(6) for _ in PEOPLE)
    for name in PEOPLE:
        assert len(first.bot_says(name)) == before[name] + 6


async def test_when_the_one_that_polls_is_gone_the_other_polls_and_answers(
    houses: tuple[House, House],
) -> None:
    first, second = houses
    await first.agree()
    await first.close()
    second.world.say("you", "are you there?")
    await second.until(lambda: second.bot_says()[-1] == second.model.script)
    async with asyncio.timeout(30):
        while await second.lanner.store.backlog():
            await asyncio.sleep(0.05)
