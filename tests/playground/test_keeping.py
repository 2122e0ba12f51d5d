"""A restart shows the earlier chat, and what the bot had not confirmed comes again."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.playground.telegram import TOKEN, Telegram, png


async def test_the_chat_outlives_the_program(tmp_path: Path) -> None:
    first = Telegram(tmp_path / "page")
    await first.open()
    first.world.say("you", "remember \u05e9 😀")
    photo = first.world.send("you", "photo", "p.png", png())
    await first("setMyCommands", commands=[{"command": "help", "description": "…"}])
    told = await first.updates()
    await first.updates(told[0]["update_id"] + 1)
    await first.close()

    second = Telegram(tmp_path / "page")
    await second.open()
    page = await second.page()
    assert [m.get("text") for m in page["messages"]] == ["remember \u05e9 😀", None]
    assert page["commands"]
    assert await second.updates() == told[1:]
    number = photo["photo"][0]["file_id"]
    assert (await second.http.get(f"{second.url}file/bot{TOKEN}/{number}")).content == png()
    said = second.world.say("you", "after")
    assert said["message_id"] > photo["message_id"]
    assert (await second.updates())[-1]["update_id"] > told[1]["update_id"]
    await second.close()


async def test_what_either_side_was_told_is_done_outlives_a_death_right_after(
    tmp_path: Path,
) -> None:
    first = Telegram(tmp_path)
    await first.open()
    await first.act("say", text="from the person")
    chat = (await first.updates())[0]["message"]["chat"]["id"]
    await first("sendMessage", chat_id=chat, text="from the bot")
    kept = (tmp_path / "chats.json").read_bytes()
    await first.close()
    # As a death would leave it: nothing of what close() saved.
    (tmp_path / "chats.json").write_bytes(kept)
    second = Telegram(tmp_path)
    await second.open()
    shown = [m["text"] for m in (await second.page())["messages"]]
    assert shown == ["from the person", "from the bot"]
    await second.close()


async def test_what_is_kept_is_its_owners_alone(tmp_path: Path) -> None:
    telegram = Telegram(tmp_path / "page")
    await telegram.open()
    telegram.world.send("you", "document", "a.txt", b"private")
    await telegram.close()
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "page").iterdir()]
    assert modes == [0o600, 0o600]


async def test_a_cleared_chat_is_gone_from_the_disk(tmp_path: Path) -> None:
    telegram = Telegram(tmp_path)
    await telegram.open()
    telegram.world.say("you", "xyzzy")
    telegram.world.updates.waiting.clear()
    telegram.world.clear("you")
    await telegram.close()
    assert all(b"xyzzy" not in p.read_bytes() for p in tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"chats": [{"id": 1}]}), "\ud800"])
async def test_a_broken_file_is_put_aside_and_the_page_begins_anew(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "chats.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    telegram = Telegram(tmp_path)
    await telegram.open()
    telegram.world.say("you", "hello")
    assert len((await telegram.page())["messages"]) == 1
    await telegram.close()
    assert (tmp_path / "chats.broken").exists()


async def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    telegram = Telegram(blocked / "page")
    await telegram.open()
    telegram.world.say("you", "hello")
    assert len((await telegram.page())["messages"]) == 1
    await telegram.close()
