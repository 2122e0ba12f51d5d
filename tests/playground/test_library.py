"""The bot's own library cannot tell this server from Telegram's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    MessageEntity,
    Update,
)
from telegram.error import BadRequest, Forbidden, NetworkError, RetryAfter

from tests.playground.telegram import TOKEN, Telegram, png


@pytest.fixture
async def bot(telegram: Telegram) -> AsyncIterator[Bot]:
    url = telegram.url
    async with Bot(TOKEN, f"{url}bot", f"{url}file/bot") as bot:
        yield bot


async def test_messages_keys_and_edits_round_trip(bot: Bot, telegram: Telegram, chat: int) -> None:
    keys = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="yes")]])
    sent = await bot.send_message(chat, "bold move", reply_markup=keys,
                                  entities=[MessageEntity("bold", 0, 4)])  # fmt: skip
    assert sent.entities[0].type == "bold"
    telegram.world.press("you", sent.message_id, "yes")
    (update,) = [Update.de_json(u, bot) for u in await telegram.updates()]
    assert update.callback_query
    assert await update.callback_query.answer("thanks")
    edited = await update.callback_query.edit_message_text("moved")
    assert not isinstance(edited, bool)
    assert edited.text == "moved"
    with pytest.raises(BadRequest, match="not modified"):
        await sent.edit_text("moved")


async def test_files_go_both_ways(bot: Bot, telegram: Telegram, chat: int) -> None:
    await bot.send_document(chat, InputFile(b"{}", "export.json", attach=True), caption="yours")
    await bot.send_photo(chat, png(), caption="a chart")
    telegram.world.send("you", "photo", "p.png", png(9, 9), "look")
    (update,) = [Update.de_json(u, bot) for u in await telegram.updates()]
    assert update.message
    file = await update.message.photo[-1].get_file()
    assert bytes(await file.download_as_bytearray()) == png(9, 9)


async def test_drafts_actions_menus_and_profile(bot: Bot, telegram: Telegram, chat: int) -> None:
    assert await bot.send_message_draft(chat, 3, "I am wri")
    assert telegram.world.chat("you").draft == "I am wri"
    assert await bot.send_chat_action(chat, "typing")
    assert await bot.set_my_commands([BotCommand("help", "…")], BotCommandScopeChat(chat))
    assert await bot.set_my_description("A program that listens.")
    assert (await bot.get_my_description()).description == "A program that listens."
    assert (await bot.get_chat(chat)).first_name == "you"
    assert (await bot.get_webhook_info()).url == ""


# The library warns whenever it makes a RetryAfter, whoever reads it.
@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
async def test_errors_are_the_librarys_own(bot: Bot, telegram: Telegram, chat: int) -> None:
    telegram.faults.flood("sendMessage", retry_after=7)
    with pytest.raises(RetryAfter) as found:
        await bot.send_message(chat, "x")
    assert found.value._retry_after.total_seconds() == 7
    telegram.faults.lose("sendMessage")
    with pytest.raises(NetworkError):
        await bot.send_message(chat, "x")
    telegram.world.block("you")
    with pytest.raises(Forbidden, match="blocked by the user"):
        await bot.send_message(chat, "x")
