"""Rows that are damaged on disk: the one is put aside and said, all others go on as ever."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from bot import texts
from bot.playground.state import person_id
from tests.bot.house import House
from tests.faults.people import DANGER, answers, crisis_texts, heard

DAMAGED = b"\x01bytes that no key opens, for they were never sealed by one"


def damage(house: House, statement: str, *values: Any) -> None:
    """As a failing disk does, behind the bot's back."""
    with closing(sqlite3.connect(house.folder / "lanner.db", timeout=60)) as database:
        assert database.execute(statement, values).rowcount > 0
        database.commit()


async def test_an_update_that_is_damaged_is_put_aside_and_said_and_the_others_flow(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ada", "bo"):
        await house.agree(name)
    house.model.free.clear()
    for name in ("ada", "bo"):
        house.world.say(name, "number 1")
    await house.until(lambda: len(house.model.asked) == 2)
    await house.crash()
    owner = person_id("ada")
    damage(
        house, "UPDATE inbox SET body = ? WHERE person_id = ? AND state = 'open'", DAMAGED, owner
    )
    house.model.free.set()
    with caplog.at_level(logging.ERROR):
        await house.open()
        await house.until(lambda: answers(house, "bo") == [heard("number 1")])
        await house.until(lambda: texts.GIVEN_UP in house.bot_says("ada"))
    assert "damaged on disk and was put aside" in caplog.text
    assert "quarantined updates: 1" in await house.say("/status", "admin")
    house.world.say("ada", "number 2")
    await house.until(lambda: answers(house, "ada") == [heard("number 2")])


async def test_a_reply_that_is_damaged_on_its_way_is_written_again_and_comes_once(
    house: House,
) -> None:
    await house.agree("ada")
    held = house.faults.refuse("editMessageText", times=-1)
    house.world.say("ada", "number 1")
    await house.until(lambda: held.met)
    await house.crash()
    damage(house, "UPDATE outbox SET text = ? WHERE state = 'generated'", DAMAGED)
    house.faults.off(held)
    await house.open()
    await house.until(lambda: answers(house, "ada"))
    await house.settled()
    assert answers(house, "ada") == [heard("number 1")]
    assert len(house.model.asked) == 2


async def test_a_message_that_is_damaged_is_left_out_and_the_talk_goes_on(house: House) -> None:
    await house.agree("ada")
    for number in (1, 2):
        house.world.say("ada", f"number {number}")
        await house.heard(heard(f"number {number}"), 0, "ada")
    await house.settled()
    damage(house, "UPDATE messages SET text = ? WHERE id = (SELECT min(id) FROM messages)", DAMAGED)
    house.world.say("ada", "number 3")
    await house.until(lambda: heard("number 3") in answers(house, "ada"))
    turns = [turn.text for turn in house.model.asked[-1].turns]
    assert "number 1" not in turns
    assert "number 2" in turns


async def test_a_person_whose_key_is_damaged_is_told_and_holds_up_nobody(house: House) -> None:
    for name in ("ada", "bo"):
        await house.agree(name)
    await house.close()
    owner = person_id("ada")
    damage(house, "UPDATE person_keys SET wrapped = ? WHERE person_id = ?", DAMAGED, owner)
    await house.open()
    house.world.say("ada", "number 1")
    house.world.say("bo", "number 1")
    await house.until(lambda: answers(house, "bo") == [heard("number 1")])
    await house.until(lambda: texts.GIVEN_UP in house.bot_says("ada"))
    house.world.say("ada", DANGER)
    await house.until(lambda: crisis_texts(house, "ada"))
    await house.settled()
    assert await house.lanner.store.quarantined_count() == 2


async def test_json_that_was_cut_off_spoils_one_command_of_one_person(house: House) -> None:
    for name in ("ada", "bo"):
        await house.agree(name)
        house.world.say(name, "number 1")
        await house.heard(heard("number 1"), 0, name)
    await house.settled()
    owner = person_id("ada")
    damage(house, "UPDATE safety_decisions SET rules = '{\"ids\": [' WHERE person_id = ?", owner)
    house.lanner.inbox._again_s = 0.0
    assert await house.say("/export", "ada") == texts.GIVEN_UP
    await house.say("/export", "bo")
    assert texts.GIVEN_UP not in house.bot_says("bo")
    house.world.say("ada", "number 2")
    await house.until(lambda: heard("number 2") in answers(house, "ada"))


async def test_a_damaged_page_is_treated_as_a_disk_that_fails(house: House) -> None:
    for name in ("ada", "admin"):
        await house.agree(name)
    await house.settled()
    await house.close()
    pages = _break_the_inbox(house)
    await house.open()
    house.world.say("ada", DANGER)
    await house.until(lambda: crisis_texts(house, "ada"))
    await house.until(lambda: any("database" in text for text in house.bot_says("admin")))
    assert house.world.updates.waiting
    assert pages
    assert not house.run.done()


def _break_the_inbox(house: House) -> int:
    """Overwrite the index of the inbox's states, which every receiving writes to."""
    path = house.folder / "lanner.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = database.execute("PRAGMA page_size").fetchone()[0]
        wanted = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_inbox_state'"
        page = int(database.execute(wanted).fetchone()[0])
    whole = bytearray(path.read_bytes())
    whole[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(bytes(whole))
    return page
