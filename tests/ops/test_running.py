"""Operators' commands as an operator uses them, on a running bot, and what its log says."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.admission import BANNED, INVITE_ONLY, RESTING, TOO_FAST
from bot.logs import install
from bot.playground.state import person_id
from tests.bot.fakes import ScriptedModel
from tests.bot.house import TOKEN, House

REPLY = ScriptedModel().script
DANGER = "I want to kill myself tonight"
CANARY = "my canary sings of marmalade"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.leave()


async def test_who_is_banned_gets_the_help_for_danger_and_their_data_and_nothing_else(
    house: House,
) -> None:
    await house.open()
    await house.agree()
    you = person_id("you")
    assert await house.say(f"/ban {you}", "admin") == f"{you} is banned."
    assert await house.say("hello") == BANNED
    assert "112" in await house.say(DANGER)
    await house.say("/export")
    await house.until(lambda: len(house.world.files) == 2)
    assert "may talk again" in await house.say(f"/unban {you}", "admin")
    audit = await house.say("/audit", "admin")
    assert f"ban  ({you})" in audit
    assert "unban" in audit
    assert house.model.asked == []


async def test_in_maintenance_only_danger_is_answered(house: House) -> None:
    await house.open()
    await house.agree()
    await house.say("/maintenance on", "admin")
    assert await house.say("hello") == RESTING
    assert "112" in await house.say(DANGER)
    await house.say("/maintenance off", "admin")
    await house.say("I am safe now")


async def test_an_invite_lets_a_person_in(house: House) -> None:
    await house.open(lanner_admission="invite")
    await house.agree()
    assert await house.say("hello") == INVITE_ONLY
    code = (await house.say("/invite 1 7", "admin")).split()[-1]
    house.world.say("you", f"/start {code}")
    await house.heard("Your invitation is good.")
    await house.until(lambda: len(house.bot_says()) > 4)
    assert await house.say("hello") == REPLY


async def test_over_the_rate_danger_is_answered_all_the_same(house: House) -> None:
    await house.open(lanner_person_rate=1)
    await house.agree()
    assert await house.say("hello") == REPLY
    assert await house.say("hello again") == TOO_FAST
    assert "112" in await house.say(DANGER)


async def test_nobody_but_the_admins_of_the_settings_can_do_any_of_it(house: House) -> None:
    await house.open()
    for command in ("ban 1", "unban 1", "invite", "maintenance on", "broadcast hi", "audit"):
        assert "admin" in await house.say(f"/{command}")
    assert await house.lanner.store.actions() == []


async def test_a_button_that_nobody_handed_out_does_nothing(house: House) -> None:
    await house.open()
    await house.agree()
    you, last = person_id("you"), max(house.chat().messages)
    who = {"id": you, "is_bot": False, "first_name": "You"}
    message = {"message_id": last, "date": 0, "chat": {"id": you, "type": "private"}}
    await house.say("hello")
    for number, data in enumerate(("forget:yes", "load:evil", "talk:gone:1", "stop" + "A" * 16)):
        query = {"id": str(number), "from": who, "chat_instance": "1", "message": message}
        query["data"] = data
        await house.lanner.inbox.take([{"update_id": 10**6 + number, "callback_query": query}])
    await house.settled()
    assert (await house.lanner.store.export(person_id("you")))["person"] is not None
    assert len(await house.lanner.store.talks(person_id("you"), person_id("you"))) == 1


async def test_a_broadcast_reaches_who_agreed(house: House) -> None:
    await house.open()
    await house.agree()
    await house.agree("admin")
    assert "goes to 2 people" in await house.say("/broadcast We move house on Sunday.", "admin")
    await house.heard("We move house on Sunday.")
    await house.heard("We move house on Sunday.", name="admin")


async def test_a_whole_run_leaves_no_word_name_or_token_in_the_log(house: House) -> None:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    install("DEBUG", structlog.processors.JSONRenderer(), stream)
    try:
        await house.open()
        await house.agree()
        await house.say(CANARY)
        house.model.fails = True
        await house.say(f"{CANARY} again")
        house.faults.refuse("sendMessage", times=2)
        house.faults.refuse("editMessageText", times=2)
        await house.say("/status")
        await house.say(f"/ban {CANARY}", "admin")
        await house.lanner.inbox.take([{"update_id": 10**6, "message": {"text": CANARY}}])
        broken: dict[str, Any] = {"message_id": "x", "date": CANARY, "text": CANARY}
        broken["chat"] = {"id": 5, "type": "private"}
        broken["from"] = {"id": 5, "is_bot": False, "first_name": CANARY}
        await house.lanner.inbox.take([{"update_id": 10**6 + 1, "message": broken}])
        await house.settled()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    written = stream.getvalue()
    assert len(written.splitlines()) > 3
    assert all(json.loads(line)["event"] for line in written.splitlines())
    for secret in (CANARY, "marmalade", TOKEN, REPLY):
        assert secret not in written
