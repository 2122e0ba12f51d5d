"""The page's own way in: who may come, what is told, what a person can do."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.playground import page
from tests.playground.telegram import TOKEN, Telegram, png
from tests.playground.test_sending import BUTTON


@pytest.mark.parametrize("path", ["", "play/state", f"bot{TOKEN}/getMe", "css/base.css"])
@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
     {"Sec-Fetch-Site": "cross-site"}, {"Host": "127.0.0.1.evil.example"}],
)  # fmt: skip
async def test_other_hosts_and_sites_are_kept_out(
    telegram: Telegram, path: str, headers: dict[str, str]
) -> None:
    answer = await telegram.http.get(telegram.url + path, headers=headers)
    assert answer.status_code == 403
    assert "Only this machine" in answer.text


async def test_the_page_may_load_and_run_nothing_from_elsewhere(telegram: Telegram) -> None:
    answer = await telegram.http.get(telegram.url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for file in Path(page.STATIC).rglob("*.*"):
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search("https?://[a-z]|innerHTML|insertAdjacentHTML|document.write", text), (
            file
        )


async def test_only_what_is_new_is_told(telegram: Telegram, chat: int) -> None:
    first = await telegram.page()
    assert first["whole"]
    await telegram("sendMessage", chat_id=chat, text="news")
    where = {"life": first["life"], "since": first["version"], "face": first["face"]}
    second = await telegram.page(**where)
    assert [m["text"] for m in second["messages"]] == ["news"]
    assert not second["whole"]


@pytest.mark.usefixtures("chat")
async def test_a_page_of_an_earlier_start_is_told_everything(telegram: Telegram) -> None:
    told = await telegram.page(life="another", since=10**6, face="x")
    assert told["whole"]
    assert len(told["messages"]) == 1


@pytest.mark.usefixtures("chat")
async def test_a_page_waits_until_its_own_chat_changes(telegram: Telegram) -> None:
    seen = await telegram.page()
    where = {"life": seen["life"], "since": seen["version"], "face": seen["face"]}
    waiting = asyncio.create_task(telegram.page(**where))
    telegram.world.say("ada", "elsewhere")
    await asyncio.sleep(0.2)
    assert not waiting.done()
    telegram.world.say("you", "here")
    async with asyncio.timeout(20):
        assert [m["text"] for m in (await waiting)["messages"]] == ["here"]


async def test_a_page_hears_of_a_loaded_model_and_an_ended_draft(
    telegram: Telegram, chat: int
) -> None:
    await telegram("sendMessageDraft", chat_id=chat, draft_id=1, text="I am")
    seen = await telegram.page()
    where = {"life": seen["life"], "since": seen["version"], "face": seen["face"]}
    telegram.banner = "another model"
    async with asyncio.timeout(20):
        told = await telegram.page(**where)
        assert told["banner"] == {"text": "another model"}
        telegram.now += 31
        where["face"] = told["face"]
        assert (await telegram.page(**where))["draft"] is None


async def test_two_people_do_not_see_each_other(telegram: Telegram) -> None:
    await telegram.act("say", "ada", text="my secret")
    assert (await telegram.page("ben"))["messages"] == []


async def test_a_text_of_100_kb_is_sent_in_several_messages_and_whole(telegram: Telegram) -> None:
    text = "😀x" * 34_000
    await telegram.act("say", text=text)
    said = [m["text"] for m in telegram.world.chat("you").messages.values()]
    assert "".join(said) == text
    assert len(said) == 25


@pytest.mark.parametrize("text", ["\0", "\u202e\u202e", " \n", ""])
async def test_nothing_is_not_sent(telegram: Telegram, text: str) -> None:
    answer = await telegram.act("say", text=text)
    assert answer.json() == {"error": "There is nothing to send."}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"kind":"say"}', b'{"kind":"edit","message_id":"x","text":"a"}',
     b'{"kind":"press","message_id":{}}', b"\xff", b'{"kind":5}', b"[" * 90_000,
     b'{"kind":"say","text":"\\ud800 hi"}', b'{"kind":"say","text":"hi","reply_to":[1]}'],
)  # fmt: skip
async def test_a_broken_act_is_an_answer_never_a_crash(telegram: Telegram, body: bytes) -> None:
    answer = await telegram.http.post(f"{telegram.url}play/act", content=body)
    assert answer.status_code in (200, 400)
    assert answer.json()


async def test_only_own_messages_are_edited(telegram: Telegram, chat: int) -> None:
    sent = await telegram("sendMessage", chat_id=chat, text="the bot's")
    answer = await telegram.act("edit", message_id=sent["message_id"], text="mine")
    assert answer.json() == {"error": "There is no such message."}


async def upload(telegram: Telegram, data: bytes, name: str = "p.png", **more: Any) -> Any:
    return await telegram.http.post(f"{telegram.url}play/upload", data={"as": "you", **more},
                                    files={"file": (name, data)})  # fmt: skip


async def test_a_photo_reaches_the_bot_with_its_caption(telegram: Telegram) -> None:
    assert (await upload(telegram, png(), kind="photo", caption="my /desk")).status_code == 200
    (update,) = await telegram.updates()
    message = update["message"]
    assert message["caption"] == "my /desk"
    assert message["caption_entities"][0]["type"] == "bot_command"
    found = await telegram("getFile", file_id=message["photo"][-1]["file_id"])
    got = await telegram.http.get(f"{telegram.url}file/bot{TOKEN}/{found['file_path']}")
    assert got.content == png()


@pytest.mark.parametrize("kind", ["document", "voice", "sticker"])
async def test_other_files_reach_the_bot(telegram: Telegram, kind: str) -> None:
    await upload(telegram, b"data", "a.txt", kind=kind)
    (update,) = await telegram.updates()
    assert update["message"][kind]["file_size"] == 4


@pytest.mark.parametrize(
    ("data", "kind"), [(b"", "document"), (b"<script>", "photo"), (b"x", "poll")]
)
async def test_a_file_that_cannot_be_sent_is_a_sentence(
    telegram: Telegram, data: bytes, kind: str
) -> None:
    answer = await upload(telegram, data, kind=kind)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert await telegram.updates() == []


async def test_an_uploaded_page_can_never_run_here(telegram: Telegram) -> None:
    sent = (await upload(telegram, b"<script>alert(1)</script>", 'a\r\n"x.html',
                         kind="document")).json()  # fmt: skip
    answer = await telegram.http.get(f"{telegram.url}play/file/{sent['document']['file_id']}")
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_in_a_group_the_bot_hears_only_what_is_meant_for_it(telegram: Telegram) -> None:
    world, group = telegram.world, "Friends"
    world.say("ada", "just between us", group)
    world.say("ben", "@Lanner_bot what helps?", group)
    world.say("ben", "/help", group)
    world.say("ben", "/help@other_bot", group)
    answer = await telegram("sendMessage", chat_id=world.chat("ada", group).id, text="a walk")
    world.say("ada", "thanks", group, reply_to=answer["message_id"])
    heard = [u["message"]["text"] for u in await telegram.updates()]
    assert heard == ["@Lanner_bot what helps?", "/help", "thanks"]
    assert {m["from"]["first_name"] for m in (await telegram.page("ada", group=group))["messages"]}
    assert (await telegram.page("ada"))["messages"] == []


async def test_the_menu_is_the_narrowest_that_is_set(telegram: Telegram, chat: int) -> None:
    def menu(name: str) -> list[dict[str, str]]:
        return [{"command": name, "description": "…"}]

    await telegram("setMyCommands", commands=menu("all"))
    await telegram("setMyCommands", commands=menu("english"), language_code="en")
    await telegram("setMyCommands", commands=menu("deutsch"), language_code="de")
    await telegram("setMyCommands", commands=menu("yours"),
                   scope={"type": "chat", "chat_id": chat})  # fmt: skip
    assert (await telegram.page("ada"))["commands"] == menu("english")
    assert (await telegram.page("you"))["commands"] == menu("yours")
    await telegram("deleteMyCommands", scope={"type": "chat", "chat_id": chat})
    assert (await telegram.page("you"))["commands"] == menu("english")
    assert await telegram("getMyCommands", language_code="de") == menu("deutsch")


@pytest.mark.usefixtures("chat")
async def test_clearing_a_chat_is_the_persons_own_affair(telegram: Telegram) -> None:
    await telegram.act("clear")
    assert (await telegram.page())["messages"] == []
    assert await telegram.updates() == []


@pytest.mark.usefixtures("chat")
async def test_whoever_blocked_the_bot_cannot_write_to_it(telegram: Telegram) -> None:
    await telegram.act("block")
    assert "blocked" in (await telegram.act("say", text="hi")).json()["error"]
    await telegram.act("unblock")
    assert (await telegram.act("say", text="hi")).status_code == 200


async def test_memory_is_bounded(telegram: Telegram) -> None:
    world = telegram.world
    for number in range(2100):
        world.say("you", str(number))
    assert len(world.chat("you").messages) == 2000
    assert world.chat("you").messages[max(world.chat("you").messages)]["text"] == "2099"
    for _ in range(70):
        world.store("big", bytes(1 << 20))
    assert sum(len(f.data) for f in world.files.values()) <= 64 << 20


async def test_a_key_of_a_message_is_pressed_with_its_data(telegram: Telegram, chat: int) -> None:
    sent = await telegram("sendMessage", chat_id=chat, text="?",
                          reply_markup={"inline_keyboard": [[BUTTON]]})  # fmt: skip
    answer: httpx.Response = await telegram.act("press", message_id=sent["message_id"], data="yes")
    (update,) = await telegram.updates()
    assert update["callback_query"]["data"] == "yes"
    assert update["callback_query"]["id"] == answer.json()["press"]
