"""Nothing is lost and no reply comes twice, wherever the process or the network ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from bot.app import DeviceDead
from bot.inbox import DEATHS, SUSPECT
from bot.lock import AlreadyRunning
from bot.playground.state import person_id
from model.types import Event, Request
from tests.bot.dying import died, dies_at
from tests.bot.fakes import ScriptedModel
from tests.bot.house import House
from tests.faults.people import DANGER, crisis_texts

REPLY = "I hear you. Tell me more."
MOST_STEPS = 60


async def roles(house: House) -> list[str]:
    talk = await house.lanner.store.conversation(person_id("you"), person_id("you"))
    return [m.role for m in await house.lanner.store.history(talk.id)]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_death_at_any_step_of_a_turn_costs_and_doubles_nothing(house: House) -> None:
    await house.agree()
    fixed = await house.say("I want to kill myself tonight")
    turns = [("hello", REPLY), ("I want to kill myself tonight", fixed)]
    step, ended = 0, True
    while ended:
        assert step < MOST_STEPS
        words, expected = turns[step % 2]
        await house.anew()
        await dies_at(house, step)
        before = house.bot_says().count(expected)
        house.world.say("you", words)
        ended = await died(
            house,
            lambda expected=expected, before=before: house.bot_says().count(expected) > before,  # type: ignore[misc]
        )
        await house.heard(expected, before)
        await house.settled()
        assert house.bot_says().count(expected) == before + 1, f"step {step}"
        assert await roles(house) == ["user", "assistant"], f"step {step}"
        step += 1
    assert step > 10


@pytest.mark.parametrize("streaming", ["draft", "edit", "off"])
@pytest.mark.parametrize("method", ["sendMessage", "editMessageText"])
async def test_a_lost_answer_neither_loses_nor_doubles_a_reply(
    house: House, streaming: str, method: str
) -> None:
    await house.agree()
    await house.say(f"/settings streaming {streaming}")
    house.faults.lose(method, times=2)
    house.world.say("you", "hello")
    await house.until(lambda: REPLY in house.bot_says())
    await house.settled()
    assert house.bot_says().count(REPLY) == 1


async def test_a_placeholder_that_a_lost_answer_left_goes_when_its_button_is_pressed(
    house: House,
) -> None:
    await house.agree()
    await house.say("/settings streaming edit")
    house.faults.lose("sendMessage")
    await house.say("hello")
    await house.settled()
    orphans = [m["message_id"] for m in house.chat().messages.values() if m.get("text") == "…"]
    assert len(orphans) == 1
    house.world.press("you", orphans[0], house.signed_data("stop", orphans[0]))
    await house.until(lambda: orphans[0] not in house.chat().messages)
    assert house.bot_says().count(REPLY) == 1


async def test_a_network_that_was_dead_is_waited_out(house: House) -> None:
    await house.agree()
    dead = [house.faults.refuse(method, times=-1) for method in
            ("sendMessage", "editMessageText", "sendMessageDraft", "sendChatAction")]  # fmt: skip
    house.world.say("you", "hello")
    await house.until(lambda: any(c.outcome == "refused" for c in house.faults.of("sendMessage")))
    house.faults.off(*dead)
    await house.until(lambda: REPLY in house.bot_says())
    assert house.bot_says().count(REPLY) == 1


async def test_a_flood_limit_pauses_its_own_chat_alone(house: House) -> None:
    await house.agree()
    await house.agree("other")
    own = house.chat().id
    limit = house.faults.flood("sendMessage", 3, times=-1)
    limit.only = lambda arguments: int(arguments["chat_id"]) == own
    house.world.say("you", "hello")
    await house.until(lambda: any(c.outcome == "429" for c in house.faults.of("sendMessage")))
    assert await house.say("hello", "other") == REPLY
    assert REPLY not in house.bot_says()
    house.faults.off(limit)
    await house.until(lambda: REPLY in house.bot_says())


async def test_drafts_that_are_refused_fall_back_to_an_edited_message(house: House) -> None:
    await house.agree()
    house.faults.fail("sendMessageDraft", 400, "Bad Request: method is not available", times=-1)
    house.model.free.clear()
    house.world.say("you", "hello")
    await house.until(lambda: house.bot_says()[-1].startswith("I hear you."))
    assert any("stop" in each for each in house.shown().values())
    house.model.free.set()
    await house.until(lambda: REPLY in house.bot_says())


async def test_a_person_who_blocked_the_bot_holds_up_nobody(house: House) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "hello")
    await house.until(lambda: house.model.asked)
    house.world.block("you")
    house.model.free.set()
    await house.settled()
    await house.agree("other")
    assert await house.say("hello", "other") == REPLY


async def test_a_second_start_is_refused_in_one_sentence(house: House) -> None:
    second = House(house.folder)
    with pytest.raises(AlreadyRunning, match="already runs") as refused:
        await second.open()
    assert "\n" not in str(refused.value)
    await second.telegram.stop()


async def test_a_poison_update_is_put_aside_and_others_flow(house: House) -> None:
    await house.agree()
    fails = Poison(house.lanner.inbox._handle)
    house.lanner.inbox._handle = fails
    house.world.say("you", "a broken cup")
    assert await house.say("and I am here", "other") != ""
    await house.until(lambda: any("put it aside" in t for t in house.bot_says()))
    assert fails.tries == 3
    assert await house.say("hello") == REPLY
    assert await house.lanner.store.quarantined_count() == 1
    assert "quarantined updates: 1" in await house.say("/status", "admin")


class Poison:
    """A handler that one update breaks each time."""

    def __init__(self, handle: Any) -> None:
        self.handle, self.tries = handle, 0

    async def __call__(self, update: dict[str, Any]) -> None:
        if update.get("message", {}).get("text") == "a broken cup":
            self.tries += 1
            raise ValueError("its text must not be logged: a broken cup")
        await self.handle(update)


async def test_an_update_that_ends_the_process_each_time_is_put_aside(house: House) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "tell me about gardens")
    for _ in range(DEATHS):
        await house.until(lambda: house.model.asked)
        await house.crash()
        house.model.asked.clear()
        await house.open()
    await house.until(lambda: any("put it aside" in t for t in house.bot_says()))
    house.model.free.set()
    assert await house.say("hello") == REPLY


async def test_who_was_only_beside_what_ends_the_process_is_answered(house: House) -> None:
    others = ["ada", "bo", "cy"]
    for name in ("you", *others):
        await house.agree(name)
    await house.close()
    house.model = Deadly()
    await house.open()
    house.model.free.clear()
    for name in ("you", *others):
        house.world.say(name, Deadly.WORDS if name == "you" else "hello")
    for life in range(DEATHS):
        # All are under way at the first deaths, and none can be told from the guilty one.
        wanted = 4 if life < SUSPECT else 1
        await house.until(lambda: len(house.model.asked) >= wanted)  # noqa: B023
        await house.until(lambda: any(r.turns[-1].text == Deadly.WORDS for r in house.model.asked))
        await house.crash()
        house.model.asked.clear()
        if life + 1 >= SUSPECT:
            house.model.free.set()
        await house.open()
    await house.until(lambda: any("put it aside" in t for t in house.bot_says()))
    for name in others:
        await house.heard(REPLY, name=name)
    assert await house.lanner.store.quarantined_count() == 1


async def test_danger_never_waits_for_what_may_have_ended_the_process(house: House) -> None:
    await house.agree()
    await house.agree("other")
    await house.close()
    house.model = Deadly()
    await house.open()
    to_other = house.faults.hang("sendMessage", times=-1)
    to_other.only = lambda given: str(given["chat_id"]) == str(person_id("other"))
    house.world.say("you", Deadly.WORDS)
    house.world.say("other", DANGER)
    for _ in range(SUSPECT):
        met = to_other.met
        await house.until(lambda: house.model.asked and to_other.met > met)  # noqa: B023
        await house.crash()
        house.model.asked.clear()
        await house.open()
    house.faults.off(to_other)
    await house.until(lambda: house.model.asked)
    await house.until(lambda: crisis_texts(house, "other") > 0)


class Deadly(ScriptedModel):
    """Never comes back from one message: whoever waits for it can only kill the process."""

    WORDS = "tell me about gardens"

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        if request.turns[-1].text == self.WORDS:
            self.asked.append(request)
            await asyncio.Event().wait()
        async for event in super().submit(request):
            yield event


async def test_orderly_stops_never_count_against_an_update(house: House) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "patience")
    for _ in range(7):
        await house.until(lambda: house.model.asked)
        await house.close()
        house.model.asked.clear()
        await house.open()
    house.model.free.set()
    await house.until(lambda: REPLY in house.bot_says())
    assert await house.lanner.store.quarantined_count() == 0


async def test_messages_of_one_chat_are_answered_in_the_order_of_their_sending(
    house: House,
) -> None:
    await house.agree()
    for number in range(6):
        house.world.say("you", f"number {number}")
    await house.until(lambda: house.bot_says().count(REPLY) == 6)
    asked = [request.turns[-1].text for request in house.model.asked]
    assert asked == [f"number {number}" for number in range(6)]


async def test_words_of_danger_are_answered_once_while_the_disk_is_full(house: House) -> None:
    await house.agree()
    await house.say("hello", "admin")
    store = house.lanner.store
    receive = store.receive
    full = asyncio.Event()

    async def failing(updates: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if full.is_set() and updates:
            raise OperationalError("INSERT", {}, OSError("database or disk is full"))
        return await receive(updates)

    store.receive = failing  # type: ignore[method-assign]
    full.set()
    house.world.say("you", "hello")
    reply = await house.say("I want to kill myself tonight", "other")
    assert "emergency" in reply
    await house.until(lambda: any("database" in t for t in house.bot_says("admin")))
    assert house.model.asked == []
    full.clear()
    await house.heard(REPLY)
    await house.until(lambda: house.lanner.counts.ends["fixed"])
    await house.settled()
    assert house.bot_says("other").count(reply) == 1


async def test_a_dead_device_is_said_and_ends_the_run(house: House) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "hello")
    await house.until(lambda: house.model.asked)
    house.model.died.set()
    await house.until(lambda: "starting anew" in house.bot_says()[-1])
    with pytest.raises(DeviceDead):
        await house.run


async def test_danger_is_answered_while_the_device_is_dead(house: House) -> None:
    await house.agree()
    house.lanner.chat.writer.device_died("The device has died.")
    assert "emergency" in await house.say("I want to kill myself tonight")
    await house.agree("other")
    assert await house.say("hello", "other") == "The device has died."


async def test_polling_that_died_silently_begins_anew(house: House) -> None:
    await house.agree()
    await house.close()
    hung = house.faults.delay("getUpdates", 3600, times=1)
    await house.open()
    polling = house.lanner.intake
    polling._silent_s, polling._look_s = 0.5, 0.1  # type: ignore[union-attr]
    assert await house.say("hello") == REPLY
    assert house.lanner.counts.events["poll_restart"] >= 1
    house.faults.off(hung)


async def test_a_dropped_reply_is_counted_and_leaves_nothing_in_the_chat(house: House) -> None:
    await house.agree()
    await house.say("/settings streaming edit")
    house.model.free.clear()
    house.world.say("you", "hello")
    await house.until(lambda: house.bot_says()[-1].startswith("I hear you."))
    store = house.lanner.store
    await store.bump_epoch((await store.conversation(house.chat().id, house.chat().id)).id)
    house.model.free.set()
    await house.settled()
    assert not any("I hear you" in t for t in house.bot_says())
    assert "Dropped replies: 1" in await house.say("/status", "admin")


async def test_a_stop_ends_at_once_though_the_model_would_write_for_ever(
    house: House,
) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "hello")
    await house.until(lambda: house.model.asked)
    async with asyncio.timeout(30):
        await house.close()
    assert not any("I hear you" in t for t in house.bot_says())
