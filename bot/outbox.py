"""The last steps of a turn: what the store's outbox holds, put into the chat exactly once.

Telegram knows no "send this once": when the answer to sendMessage is lost,
nobody can tell whether the message stands in the chat. So a message is sent
only as an empty placeholder, whose id is stored, and the text is put into it
by an edit, which may be repeated without harm. What a lost answer costs is an
empty placeholder in the chat, never a reply twice and never none.

Knows Telegram's methods and the outbox's states; knows nothing of the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError
from telegram import Bot, InlineKeyboardMarkup, ReplyParameters
from telegram.error import BadRequest, Forbidden, TelegramError

from bot.formatting import Formatted, formatted
from bot.observing import TurnObserver
from bot.patience import patiently
from bot.store.store import Store
from bot.store.tables import OutboxPart

PLACEHOLDER = "…"
# A person may delete a placeholder before the text is in it, but not for ever.
TRIES = 3
log = logging.getLogger(__name__)


class Postman:
    """Delivers the parts of turns. One for all chats."""

    def __init__(self, store: Store, observer: TurnObserver) -> None:
        self._store, self._observer = store, observer

    async def place(
        self,
        bot: Bot,
        part: OutboxPart,
        reply_to: int | None = None,
        markup: InlineKeyboardMarkup | None = None,
    ) -> int:
        """A message stands in the chat for the part; returns its id, the known one if any."""
        if part.placeholder_id is not None:
            return part.placeholder_id
        above = ReplyParameters(reply_to, allow_sending_without_reply=True) if reply_to else None
        message = await patiently(
            lambda: bot.send_message(
                part.chat_id, PLACEHOLDER, reply_parameters=above, reply_markup=markup
            )
        )
        try:
            await self._store.place(part.id, message.message_id)
        except SQLAlchemyError:
            # The turn is taken up again and places another.
            with suppress(TelegramError):
                await bot.delete_message(part.chat_id, message.message_id)
            raise
        part.placeholder_id = message.message_id
        return message.message_id

    async def deliver(
        self,
        bot: Bot,
        parts: Sequence[OutboxPart],
        reply_to: int | None = None,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        """Put the texts of all parts into the chat, in order; returns when they stand there.

        `may` is asked once more before each is put in: the person may have the words already.
        """
        for part in parts:
            if part.state != "sent":
                with suppress(Forbidden):
                    # Blocked or thrown out: there is no one to deliver to.
                    await self._put(bot, part, reply_to if part.part == 0 else None, may)
                await self._store.sent(part.id)

    async def withdraw(self, bot: Bot, parts: Sequence[OutboxPart]) -> None:
        """The turn is no longer wanted: take its placeholder out of the chat."""
        for part in parts:
            if part.placeholder_id is not None and part.state != "sent":
                with suppress(TelegramError):
                    await bot.delete_message(part.chat_id, part.placeholder_id)

    async def _put(
        self, bot: Bot, part: OutboxPart, reply_to: int | None, may: Callable[[], bool]
    ) -> None:
        nice = formatted(part.text)
        for _ in range(TRIES):
            number = await self.place(bot, part, reply_to)
            if not may():
                await self.withdraw(bot, [part])
                return
            try:
                await self._edit(bot, part.chat_id, number, nice)
            except BadRequest as error:
                if "not modified" in error.message:
                    return
                if "not found" in error.message or "can't be edited" in error.message:
                    part.placeholder_id = None
                elif nice.entities:
                    nice = Formatted(part.text, [])
                else:
                    break
            else:
                return
        self._observer.happened("undeliverable")
        log.error("Telegram refused a reply for good; the person can send /retry.")

    async def _edit(self, bot: Bot, chat: int, number: int, nice: Formatted) -> None:
        await patiently(
            lambda: bot.edit_message_text(
                nice.text, chat_id=chat, message_id=number, entities=nice.entities or None
            )
        )
