"""One reply on its way to a chat: live text while it grows, then the message that stays.

Drafts where Telegram takes them, else nothing live: the final message is what
counts. Knows Telegram's methods; knows nothing of the model or of history.
"""

from __future__ import annotations

import asyncio
import time

from telegram import Bot
from telegram.error import RetryAfter, TelegramError

from bot.formatting import Formatted, formatted, parts

EVERY_S = 0.7


class Delivery:
    """Delivers one reply."""

    def __init__(self, bot: Bot, chat_id: int, draft_id: int) -> None:
        self._bot, self._chat, self._draft = bot, chat_id, draft_id
        self._last, self._live = 0.0, True

    async def show(self, text: str, *, now: bool = False) -> None:
        """Live text; a refusal ends the live view and never the reply."""
        if not self._live or (not now and time.monotonic() - self._last < EVERY_S):
            return
        self._last = time.monotonic()
        try:
            await self._bot.send_message_draft(
                chat_id=self._chat, draft_id=self._draft, text=parts(text)[-1] if text else ""
            )
        except RetryAfter as pause:
            self._last += float(pause._retry_after.total_seconds())
        except TelegramError:
            self._live = False

    async def send(self, text: str) -> int | None:
        """The message that stays; long text in several. Returns the first's id."""
        first = None
        for piece in parts(text):
            nice = formatted(piece)
            sent = await self._send_patiently(nice)
            first = first or sent
        return first

    async def _send_patiently(self, nice: Formatted) -> int:
        """A reply that Telegram puts off is late, never lost; only this chat waits."""
        while True:
            try:
                message = await self._bot.send_message(
                    self._chat, nice.text, entities=nice.entities or None
                )
            except RetryAfter as pause:
                await asyncio.sleep(pause._retry_after.total_seconds())
            else:
                return message.message_id
