"""getUpdates: confirmation, one reader at a time, the kinds asked for."""

from __future__ import annotations

import asyncio

import pytest

from tests.playground.telegram import Refused, Telegram


async def test_what_is_not_confirmed_comes_again(telegram: Telegram) -> None:
    for text in ("a", "b", "c"):
        telegram.world.say("you", text)
    first = await telegram.updates()
    assert [u["message"]["text"] for u in first] == ["a", "b", "c"]
    assert await telegram.updates() == first
    assert await telegram.updates(first[1]["update_id"] + 1) == first[2:]
    assert await telegram.updates() == first[2:]


async def test_a_negative_offset_keeps_only_the_newest(telegram: Telegram) -> None:
    for text in ("a", "b", "c"):
        telegram.world.say("you", text)
    assert [u["message"]["text"] for u in await telegram.updates(-2)] == ["b", "c"]
    assert len(await telegram.updates()) == 2
    assert [u["message"]["text"] for u in await telegram.updates(-9)] == ["b", "c"]


@pytest.mark.parametrize(("limit", "count"), [(2, 2), (0, 100), (1000, 100)])
async def test_the_limit_is_one_to_a_hundred(telegram: Telegram, limit: int, count: int) -> None:
    for number in range(101):
        telegram.world.say("you", str(number))
    assert len(await telegram.updates(limit=limit)) == count


async def test_a_long_poll_ends_when_something_arrives(telegram: Telegram) -> None:
    poll = asyncio.create_task(telegram.updates(timeout=50))
    await asyncio.sleep(0.1)
    assert not poll.done()
    telegram.world.say("you", "now")
    async with asyncio.timeout(20):
        assert [u["message"]["text"] for u in await poll] == ["now"]


async def test_a_newer_reader_ends_the_older_with_409(telegram: Telegram) -> None:
    older = asyncio.create_task(telegram.updates(timeout=50))
    await asyncio.sleep(0.1)
    newer = asyncio.create_task(telegram.updates(timeout=50))
    async with asyncio.timeout(20):
        with pytest.raises(Refused, match="409 Conflict: terminated by other getUpdates request"):
            await older
        telegram.world.say("you", "hi")
        assert len(await newer) == 1


async def test_a_reader_that_hangs_up_takes_nothing_with_it(telegram: Telegram) -> None:
    gone = asyncio.create_task(telegram.updates(timeout=50))
    await asyncio.sleep(0.1)
    gone.cancel()
    telegram.world.say("you", "hi")
    assert len(await telegram.updates()) == 1


async def test_only_the_kinds_asked_for_come_and_the_choice_is_kept(telegram: Telegram) -> None:
    await telegram.updates(allowed_updates=["callback_query"])
    telegram.world.say("you", "unheard")
    assert await telegram.updates() == []
    await telegram.updates(allowed_updates=[])
    telegram.world.say("you", "heard")
    assert [u["message"]["text"] for u in await telegram.updates()] == ["heard"]


async def test_an_edit_is_another_update_and_the_first_stays_as_it_was(telegram: Telegram) -> None:
    said = telegram.world.say("you", "one")
    telegram.world.edit("you", said["message_id"], "two")
    first, second = await telegram.updates()
    assert first["message"]["text"] == "one"
    assert second["edited_message"]["text"] == "two"
    assert second["edited_message"]["edit_date"]


async def test_updates_can_come_twice(telegram: Telegram) -> None:
    telegram.world.say("you", "one")
    (update,) = await telegram.updates()
    telegram.world.updates.again = 1
    assert await telegram.updates(update["update_id"] + 1) == [update]
    assert await telegram.updates(update["update_id"] + 1) == []
