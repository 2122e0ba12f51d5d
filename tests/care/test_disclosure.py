"""A person is told that this is a program: in long talks, after a pause, and when they ask."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.asking import Asked
from bot.disclosure import Disclosure
from bot.safety.spoken import spoken
from bot.store.care_tables import Disclosure as Row
from bot.store.disclosures import Talked
from bot.store.store import Store
from tests.store.house import Hands


@pytest.fixture
async def disclosure(store: Store, clock: Hands) -> Disclosure:
    await store.person(7)
    return Disclosure(store, clock)


async def say(
    disclosure: Disclosure, clock: Hands, after: timedelta = timedelta(0), text: str = "hello"
) -> str | None:
    clock.now += after
    return await disclosure.notice(Asked("1", 7, 7, text))


async def test_every_three_hours_of_talk(disclosure: Disclosure, clock: Hands) -> None:
    gap = timedelta(minutes=10)
    told = [bool(await say(disclosure, clock, gap)) for _ in range(40)]
    assert [i for i, yes in enumerate(told) if yes] == [18, 36]


async def test_pauses_are_not_talk(disclosure: Disclosure, clock: Hands) -> None:
    assert not any([await say(disclosure, clock, timedelta(hours=5)) for _ in range(20)])


async def test_after_a_week_of_silence(disclosure: Disclosure, clock: Hands) -> None:
    await say(disclosure, clock)
    assert await say(disclosure, clock, timedelta(days=6, hours=23)) is None
    assert await say(disclosure, clock, timedelta(days=7)) == spoken("disclosure", "en")
    assert await say(disclosure, clock) is None


async def test_at_once_when_asked_and_in_the_persons_language(
    disclosure: Disclosure, clock: Hands, store: Store
) -> None:
    await store.set_person(7, language="de")
    assert await say(disclosure, clock, text="bist du ein Mensch?") == spoken("disclosure", "de")


async def test_having_been_told_on_request_starts_the_three_hours_anew(
    disclosure: Disclosure, clock: Hands
) -> None:
    gap = timedelta(minutes=10)
    for _ in range(17):
        assert await say(disclosure, clock, gap) is None
    assert await say(disclosure, clock, text="are you real?")
    assert await say(disclosure, clock, gap) is None


async def test_nothing_is_kept_of_somebody_who_was_erased(clock: Hands, store: Store) -> None:
    await store.person(7)
    await store.forget(7)
    assert await store.note_talk(7, lambda _known: Talked(clock.now, clock.now, 0)) is None
    async with store.sessions.read() as session:
        assert await session.get(Row, 7) is None
