"""Drafts, actions and answers to presses: what passes by itself."""

from __future__ import annotations

import pytest

from tests.playground.telegram import Telegram
from tests.playground.test_sending import BUTTON, refused


async def test_a_draft_lives_thirty_seconds(telegram: Telegram, chat: int) -> None:
    await telegram("sendMessageDraft", chat_id=chat, draft_id=1, text="I am wri")
    telegram.now += 29
    assert (await telegram.page())["draft"]["text"] == "I am wri"
    telegram.now += 1
    assert (await telegram.page())["draft"] is None


async def test_an_empty_draft_shows_that_the_bot_thinks(telegram: Telegram, chat: int) -> None:
    await telegram("sendMessageDraft", chat_id=chat, draft_id=1, text="")
    assert telegram.world.chat("you").draft == "Thinking…"


async def test_the_bots_message_ends_its_draft_and_the_persons_does_not(
    telegram: Telegram, chat: int
) -> None:
    await telegram("sendMessageDraft", chat_id=chat, draft_id=1, text="I am")
    telegram.world.say("you", "and?")
    assert telegram.world.chat("you").draft == "I am"
    await telegram("sendMessage", chat_id=chat, text="I am here.")
    assert telegram.world.chat("you").draft is None


async def test_a_draft_is_no_message_and_no_update(telegram: Telegram, chat: int) -> None:
    before = len(telegram.world.chat("you").messages)
    await telegram("sendMessageDraft", chat_id=chat, draft_id=1, text="I am")
    assert len(telegram.world.chat("you").messages) == before
    assert await telegram.updates() == []


async def test_drafts_are_for_private_chats_with_an_id(telegram: Telegram, chat: int) -> None:
    group = telegram.world.chat("ada", "Friends").id
    found = await refused(telegram, "sendMessageDraft", chat_id=group, draft_id=1, text="x")
    assert "TEXTDRAFT_PEER_INVALID" in found.words
    for draft_id in (0, None):
        found = await refused(telegram, "sendMessageDraft", chat_id=chat, draft_id=draft_id)
        assert "non-zero" in found.words
    long = "x" * 4097
    assert (await refused(telegram, "sendMessageDraft", chat_id=chat, draft_id=1, text=long)).code


async def test_the_drafts_own_stop_button_tells_the_bot_which_draft(
    telegram: Telegram, chat: int
) -> None:
    await telegram("sendMessageDraft", chat_id=chat, draft_id=7, text="I am", can_stop=True)
    assert (await telegram.act("stop")).status_code == 200
    (update,) = await telegram.updates()
    assert update["stopped_message_generation"]["draft_id"] == 7
    assert telegram.world.chat("you").draft is None


async def test_a_draft_without_that_button_cannot_be_stopped_by_it(
    telegram: Telegram, chat: int
) -> None:
    await telegram("sendMessageDraft", chat_id=chat, draft_id=7, text="I am")
    assert (await telegram.act("stop")).status_code == 400
    assert await telegram.updates() == []


async def test_an_action_lives_five_seconds(telegram: Telegram, chat: int) -> None:
    await telegram("sendChatAction", chat_id=chat, action="typing")
    telegram.now += 4
    assert (await telegram.page())["action"] == "typing"
    telegram.now += 1
    assert (await telegram.page())["action"] is None
    assert (await refused(telegram, "sendChatAction", chat_id=chat, action="dancing")).code == 400


async def pressed(telegram: Telegram, chat: int) -> str:
    message = await telegram("sendMessage", chat_id=chat, text="?",
                             reply_markup={"inline_keyboard": [[BUTTON]]})  # fmt: skip
    telegram.world.press("you", message["message_id"], "yes")
    update = (await telegram.updates())[-1]
    return str(update["callback_query"]["id"])


async def test_the_answer_to_a_press_is_shown_to_whoever_pressed_once(
    telegram: Telegram, chat: int
) -> None:
    number, seen = await pressed(telegram, chat), await telegram.page()
    await telegram("answerCallbackQuery", callback_query_id=number, text="Done", show_alert=True)
    where = {"life": seen["life"], "since": seen["version"], "face": seen["face"]}
    after = await telegram.page(**where)
    assert after["notes"] == [{"id": number, "text": "Done", "alert": True}]
    again = await telegram.page(life=seen["life"], since=after["version"], face="other")
    assert again["notes"] == []


@pytest.mark.parametrize("wait_s", [0, 61])
async def test_a_press_is_answered_once_and_in_time(
    telegram: Telegram, chat: int, wait_s: int
) -> None:
    number = await pressed(telegram, chat)
    telegram.now += wait_s
    if not wait_s:
        await telegram("answerCallbackQuery", callback_query_id=number)
    found = await refused(telegram, "answerCallbackQuery", callback_query_id=number)
    assert "query is too old" in found.words
    assert (await refused(telegram, "answerCallbackQuery", callback_query_id="5")).code == 400


async def test_a_button_that_is_gone_or_forged_cannot_be_pressed(
    telegram: Telegram, chat: int
) -> None:
    message = await telegram("sendMessage", chat_id=chat, text="?",
                             reply_markup={"inline_keyboard": [[BUTTON]]})  # fmt: skip
    number = message["message_id"]
    for forged in ({"message_id": number, "data": "no"}, {"message_id": 5, "data": "yes"}):
        assert (await telegram.act("press", **forged)).status_code == 400
    await telegram("editMessageReplyMarkup", chat_id=chat, message_id=number)
    assert (await telegram.act("press", message_id=number, data="yes")).status_code == 400
    assert await telegram.updates() == []
