"""What a bot may change afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.playground.telegram import TOKEN, Refused, Telegram, png
from tests.playground.test_sending import BUTTON, refused


async def sent(telegram: Telegram, chat: int, text: str = "one", **more: Any) -> dict[str, int]:
    message = await telegram("sendMessage", chat_id=chat, text=text, **more)
    return {"chat_id": chat, "message_id": message["message_id"]}


async def test_an_edit_changes_text_and_takes_the_keys_away(telegram: Telegram, chat: int) -> None:
    where = await sent(telegram, chat, reply_markup={"inline_keyboard": [[BUTTON]]})
    edited = await telegram("editMessageText", **where, text="two")
    assert edited["text"] == "two"
    assert "reply_markup" not in edited
    assert edited["edit_date"]


async def test_the_same_again_is_not_modified(telegram: Telegram, chat: int) -> None:
    where = await sent(telegram, chat)
    for text in ("one", " one\n"):
        found = await refused(telegram, "editMessageText", **where, text=text)
        assert "message is not modified" in found.words
    assert await telegram("editMessageText", **where, text="one",
                          reply_markup={"inline_keyboard": [[BUTTON]]})  # fmt: skip


@pytest.mark.parametrize("method", ["editMessageText", "editMessageReplyMarkup", "deleteMessage"])
async def test_a_message_that_is_not_there_cannot_be_changed(
    telegram: Telegram, chat: int, method: str
) -> None:
    found = await refused(telegram, method, chat_id=chat, message_id=5, text="x")
    assert found.words.endswith("not found")
    assert "not specified" in (await refused(telegram, method, chat_id=chat, text="x")).words


async def test_others_messages_cannot_be_edited(telegram: Telegram, chat: int) -> None:
    theirs = max(telegram.world.chat("you").messages)
    found = await refused(telegram, "editMessageText", chat_id=chat, message_id=theirs, text="x")
    assert found.words == "Bad Request: message can't be edited"


async def test_an_edit_has_the_limits_of_a_message(telegram: Telegram, chat: int) -> None:
    where = await sent(telegram, chat)
    for text in ("", "x" * 4097):
        assert (await refused(telegram, "editMessageText", **where, text=text)).code == 400


async def test_text_and_caption_are_different_things(telegram: Telegram, chat: int) -> None:
    where = await sent(telegram, chat)
    found = await refused(telegram, "editMessageCaption", **where, caption="x")
    assert "no caption" in found.words
    url, files = f"{telegram.url}bot{TOKEN}/sendPhoto", {"photo": ("p", png())}
    answer = await telegram.http.post(url, data={"chat_id": chat}, files=files)
    photo = {"chat_id": chat, "message_id": answer.json()["result"]["message_id"]}
    assert (await telegram("editMessageCaption", **photo, caption="now"))["caption"] == "now"
    assert "no text" in (await refused(telegram, "editMessageText", **photo, text="x")).words


async def test_keys_alone_can_be_changed(telegram: Telegram, chat: int) -> None:
    where = await sent(telegram, chat)
    markup = {"inline_keyboard": [[BUTTON]]}
    assert (await telegram("editMessageReplyMarkup", **where, reply_markup=markup))["text"] == "one"
    with pytest.raises(Refused, match="not modified"):
        await telegram("editMessageReplyMarkup", **where, reply_markup=markup)


async def test_a_deleted_message_is_gone_for_the_page_too(telegram: Telegram, chat: int) -> None:
    where = await sent(telegram, chat)
    seen = await telegram.page()
    assert await telegram("deleteMessage", **where)
    after = await telegram.page(life=seen["life"], since=seen["version"], face=seen["face"])
    assert after["gone"] == [where["message_id"]]
    assert after["messages"] == []


async def test_after_two_days_nothing_can_be_deleted(telegram: Telegram, chat: int) -> None:
    where = await sent(telegram, chat)
    telegram.now += 48 * 3600 + 1
    assert "can't be deleted" in (await refused(telegram, "deleteMessage", **where)).words


async def test_many_are_deleted_at_once_and_missing_ones_passed_over(
    telegram: Telegram, chat: int
) -> None:
    numbers = [(await sent(telegram, chat, text))["message_id"] for text in "ab"]
    assert await telegram("deleteMessages", chat_id=chat, message_ids=[*numbers, 5])
    assert len(telegram.world.chat("you").messages) == 1
    assert (await refused(telegram, "deleteMessages", chat_id=chat, message_ids=[])).code == 400


async def test_a_pinned_message_is_in_the_chat(telegram: Telegram, chat: int) -> None:
    where = await sent(telegram, chat)
    await telegram("pinChatMessage", **where)
    assert (await telegram("getChat", chat_id=chat))["pinned_message"]["text"] == "one"
    await telegram("unpinChatMessage", chat_id=chat)
    assert "pinned_message" not in await telegram("getChat", chat_id=chat)
