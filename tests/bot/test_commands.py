"""Each command as a person uses it, in words and by its buttons."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from bot.playground.state import person_id
from bot.schedule import Schedule
from model.types import Queued
from tests.bot.house import ADMIN, House

REPLY = "I hear you. Tell me more."
ME = person_id("you")


async def test_nothing_is_stored_of_someone_who_declines(house: House) -> None:
    await house.say("/start")
    await house.press("consent:no")
    assert "Nothing was stored" in house.bot_says()[-1]
    for command in ("/settings", "/conversations", "/new", "/privacy", "/help"):
        await house.say(command)
    assert await house.lanner.store.known_person(ME) is None


async def test_settings_are_changed_by_buttons(house: House) -> None:
    await house.agree()
    await house.say("/settings")
    await house.press("set:country")
    await house.press("set:country:GB")
    await house.press("set:zone")
    await house.press("set:zone:Europe/London")
    await house.press("set:check-in")
    await house.press("set:check-in:20:00")
    await house.press("set:streaming")
    await house.press("set:streaming:edit")
    await house.press("set:days")
    await house.press("set:days:7")
    person = await house.lanner.store.person(ME)
    assert (person.country, person.timezone, person.streaming, person.retention_days) == (
        "GB", "Europe/London", "edit", 7,
    )  # fmt: skip
    assert str(person.check_in_at) == "20:00:00"
    assert "Daily check-in: 20:00" in house.bot_says()[-1]


async def test_a_setting_that_is_not_offered_is_written_as_a_reply(house: House) -> None:
    await house.agree()
    await house.say("/settings")
    await house.press("set:country")
    await house.press("set:country:?")
    question = max(house.chat().messages)
    before = len(house.bot_says())
    house.world.say("you", "Norway", reply_to=question)
    assert "Country: NO" in await house.next_after(before)
    before = len(house.bot_says())
    house.world.say("you", "I want to kill myself tonight", reply_to=question)
    assert "112" in await house.next_after(before)


async def test_a_setting_that_cannot_be_is_one_sentence(house: House) -> None:
    await house.agree()
    assert "don't know that country" in await house.say("/settings country Atlantis")
    assert "I know these settings" in await house.say("/settings colour blue")


async def test_conversations_are_listed_named_opened_again_and_deleted(house: House) -> None:
    await house.agree()
    await house.say("about my work")
    await house.say("/new")
    await house.say("about my sleep")
    store = house.lanner.store
    newer, older = await store.talks(ME, ME)
    assert (newer.title, older.title) == ("about my sleep", "about my work")
    await house.say("/conversations")
    await house.press(f"talk:show:{older.id}")
    await house.press(f"talk:open:{older.id}")
    await house.say("and today")
    assert [t.text for t in house.model.asked[-1].turns][1:] == [
        "about my work",
        REPLY,
        "and today",
    ]
    await house.say("/rename My work")
    assert [talk.title for talk in await store.talks(ME, ME)] == ["My work", "about my sleep"]
    await house.say("/conversations")
    await house.press(f"talk:show:{newer.id}")
    await house.press(f"talk:delete:{newer.id}")
    await house.press(f"talk:gone:{newer.id}")
    assert [talk.title for talk in await store.talks(ME, ME)] == ["My work"]


async def test_nobody_opens_names_or_deletes_another_persons_conversation(house: House) -> None:
    await house.agree()
    await house.say("mine")
    (mine,) = await house.lanner.store.talks(ME, ME)
    other = person_id("other")
    await house.lanner.store.person(other)
    store = house.lanner.store
    assert not await store.reopen(other, mine.id)
    assert not await store.rename(other, mine.id, "theirs")
    assert not await store.delete_talk(other, mine.id)
    assert [talk.title for talk in await store.talks(ME, ME)] == ["mine"]


async def test_continue_lets_the_model_go_on_from_its_own_words(house: House) -> None:
    await house.agree()
    assert "nothing to go on from" in await house.say("/continue")
    await house.say("hello")
    house.model.script = "And there is more."
    assert await house.say("/continue") == "And there is more."
    assert [t.text for t in house.model.asked[-1].turns][1:3] == ["hello", REPLY]


async def test_continue_after_words_of_danger_is_answered_by_the_fixed_text(house: House) -> None:
    await house.agree()
    fixed = await house.say("I want to kill myself tonight")
    before = house.bot_says().count(fixed)
    house.world.say("you", "/continue")
    await house.heard(fixed, before)
    assert house.model.asked == []


async def test_retry_works_by_its_button(house: House) -> None:
    await house.agree()
    await house.say("hello")
    await house.say("/status")
    house.model.script = "Another answer."
    await house.press("do:retry")
    await house.until(lambda: house.bot_says()[-1] == "Another answer.")


async def test_stop_is_a_button_under_a_growing_message(house: House) -> None:
    await house.agree()
    await house.say("/settings streaming edit")
    house.model.free.clear()
    house.world.say("you", "hello")
    await house.until(lambda: house.bot_says()[-1].startswith("I hear you."))
    await house.press("stop")
    await house.settled()
    assert house.bot_says()[-1] == "I hear you."
    assert "reply_markup" not in house.chat().messages[max(house.chat().messages)]


async def test_telegrams_own_stop_on_a_draft_stops_the_model(house: House) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "hello")
    await house.until(lambda: (house.chat().draft or "").startswith("I hear"))
    house.world.stop("you")
    await house.until(lambda: house.bot_says()[-1] == "I hear you.")


async def test_a_model_that_is_still_being_loaded_is_said_while_one_waits(house: House) -> None:
    await house.agree()
    house.model.state = "loading"
    house.model.free.clear()
    house.model.script = "word"
    house.world.say("you", "hello")
    await house.until(lambda: "still being loaded" in (house.chat().draft or ""))
    house.model.free.set()
    await house.until(lambda: house.bot_says()[-1] == "word")


async def test_a_place_in_the_queue_is_shown_while_one_waits(house: House) -> None:
    await house.agree()
    house.model.queued = Queued(3, 20.0)
    house.model.free.clear()
    house.model.script = "word"
    house.world.say("you", "hello")
    await house.until(lambda: "number 3 in the queue" in (house.chat().draft or ""))
    house.model.free.set()
    await house.until(lambda: house.bot_says()[-1] == "word")


async def test_typing_is_shown_where_no_draft_is(house: House) -> None:
    await house.agree()
    await house.say("/settings streaming off")
    house.model.free.clear()
    house.world.say("you", "hello")
    await house.until(lambda: house.chat().acting)
    house.model.free.set()
    await house.until(lambda: REPLY in house.bot_says())
    assert house.faults.of("sendMessageDraft") == []


@pytest.mark.parametrize(
    ("kind", "file", "expected"),
    [("photo", "a.png", "the picture"), ("voice", "a.ogg", "the voice message"),
     ("document", "a.pdf", "the file"), ("sticker", "a.webp", "sticker")],
)  # fmt: skip
async def test_what_is_not_text_gets_a_kind_and_honest_answer(
    house: House, kind: str, file: str, expected: str
) -> None:
    await house.agree()
    before = len(house.bot_says())
    house.world.send("you", kind, file, PIXEL)
    assert expected in await house.next_after(before)
    assert house.model.asked == []


async def test_the_words_under_a_picture_are_answered_and_pass_the_gate(house: House) -> None:
    await house.agree()
    house.world.send("you", "photo", "a.png", PIXEL, "my garden today")
    await house.until(lambda: REPLY in house.bot_says())
    assert "cannot take in the picture" in house.bot_says()[-2]
    assert house.model.asked[-1].turns[-1].text == "my garden today"
    before = len(house.bot_says())
    house.world.send("you", "photo", "a.png", PIXEL, "I want to kill myself tonight")
    assert "emergency" in await house.next_after(before)
    assert len(house.model.asked) == 1


async def test_an_export_is_a_page_and_data(house: House) -> None:
    await house.agree()
    await house.say("my marker is xyzzy")
    before = len(house.bot_says())
    house.world.say("you", "/export")
    await house.until(lambda: len(house.bot_says()) == before + 2)
    page, data = [file.data for file in house.world.files.values()][-2:]
    assert b"<!doctype html>" in page
    assert b"xyzzy" in page
    assert json.loads(data)["conversations"]


async def test_in_a_group_only_what_is_meant_for_the_bot_is_answered(house: House) -> None:
    house.world.say("you", "hello all, hello @lanner_bot", "friends")
    await house.until(lambda: house.bot_says("you", "friends"))
    assert "in private" in house.bot_says("you", "friends")[0]
    await house.agree()
    await house.agree("other")
    for name, words in (("you", "I am tired"), ("other", "me too")):
        before = house.bot_says(name, "friends").count(REPLY)
        house.world.say(name, f"@lanner_bot {words}", "friends")
        await house.heard(REPLY, before, name, "friends")
    assert [t.text for t in house.model.asked[-1].turns][1:] == ["me too"]
    assert house.faults.of("sendMessageDraft") == []
    assert "in private" in await house.say("/export@lanner_bot", group="friends")


async def test_nobody_stops_another_persons_reply_in_a_group(house: House) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "@lanner_bot hello", "friends")
    await house.until(lambda: house.model.asked)
    assert not house.lanner.chat.stop(house.chat("you", "friends").id, person_id("other"))
    house.model.free.set()
    await house.until(lambda: REPLY in house.bot_says("you", "friends"))


async def test_a_check_in_comes_at_the_persons_time_and_ends_by_its_button(house: House) -> None:
    house.clock.now = datetime(2026, 3, 1, 7, 58, tzinfo=UTC)
    await house.agree()
    await house.say("/settings zone Europe/London")
    await house.say("/settings check-in 08:00")
    house.clock.now += timedelta(minutes=3)
    (schedule,) = [each for each in house.lanner.background if isinstance(each, Schedule)]
    assert await schedule.check_in() == 1
    assert "How are you today" in house.bot_says()[-1]
    assert house.chat().messages[max(house.chat().messages)].get("reply_markup")
    assert await schedule.check_in() == 0
    await house.say("fine")
    assert "How are you today" in house.model.asked[-1].turns[-2].text
    await house.press("set:check-in:off")
    assert (await house.lanner.store.person(ME)).check_in_at is None


async def test_admins_see_the_service_and_their_actions_are_kept(house: House) -> None:
    assert "scripted" in await house.say("/status", "admin")
    listed = await house.say("/adapters", "admin")
    assert "good, go" in listed
    assert "It lost its warmth." in listed
    assert "judged no-go" in await house.say("/reload bad", "admin")
    assert "use the adapter bad" in await house.say("/reload bad force", "admin")
    await house.press("load:good", "admin")
    await house.until(lambda: "use the adapter good" in house.bot_says("admin")[-1])
    before = len(house.bot_says("admin"))
    house.world.say("admin", "/reload base other-model")
    await house.until(lambda: len(house.bot_says("admin")) == before + 2)
    assert "written by other-model" in house.bot_says("admin")[-1]
    kept = [(a.admin_id, a.action, a.detail) for a in await house.lanner.store.actions()]
    assert kept == [
        (ADMIN, "reload refused", "bad"),
        (ADMIN, "reload forced", "bad"),
        (ADMIN, "reload", "good"),
        (ADMIN, "reload base", "other-model"),
    ]


async def test_nobody_else_uses_an_admins_command_or_button(house: House) -> None:
    await house.agree()
    for command in ("/adapters", "/reload good", "/reload base x"):
        assert "Only an admin" in await house.say(command)
    assert house.model.adapter is None


async def test_menus_show_each_what_they_may_use(house: House) -> None:
    await house.until(lambda: len(house.faults.of("setMyCommands")) == 4)
    calls = house.faults.of("setMyCommands")
    listed = {str(c.arguments.get("scope")): str(c.arguments["commands"]) for c in calls}
    admins = next(v for k, v in listed.items() if str(ADMIN) in k)
    assert "reload" in admins
    assert sum("reload" in each for each in listed.values()) == 1
    groups = next(v for k, v in listed.items() if "group" in k)
    assert "export" not in groups


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360"
    "f8cf500f0003860180345a9f7d0000000049454e44ae426082"
)
