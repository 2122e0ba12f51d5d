"""When the store is down or slow: words of danger get their fixed reply all the same.

The text goes straight to Telegram, once for each update in the life of this
process; the update itself stays unconfirmed or open and is taken up when the
store works again. Admins are told, without anyone's words. Knows the gate and
Telegram; needs no database and no model.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from telegram import Bot
from telegram.error import TelegramError

from bot import raw
from bot.formatting import parts
from bot.observing import TurnObserver
from bot.patience import patiently
from bot.safety.types import Gate, Level, PersonContext

WARN_EVERY_S = 600.0
log = logging.getLogger(__name__)


class Emergency:
    """`told` holds the turns whose person has the fixed text already."""

    def __init__(
        self,
        gate: Gate,
        admins: Iterable[int],
        observer: TurnObserver,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate, self._admins, self._observer, self._timer = gate, admins, observer, timer
        self.told: set[str] = set()
        self._delivered: set[str] = set()
        self._warned_at = float("-inf")

    def is_danger(self, update: raw.Raw) -> bool:
        """Whether these words alone need the fixed reply at once."""
        words = raw.words_of(update)
        return bool(words) and self._gate.assess(words).level >= Level.HIGH

    async def store_failed(self, bot: Bot, updates: list[raw.Raw], error: Exception) -> None:
        """Answer what cannot wait, and tell whoever can mend the store."""
        self._observer.happened("store_error")
        log.error(
            "The database cannot be used (%s): check the disk. Updates wait meanwhile.",
            type(error).__name__,
        )
        await asyncio.gather(*(self.tell(bot, each) for each in updates), self._warn(bot))

    async def tell(self, bot: Bot, update: raw.Raw) -> None:
        """The fixed reply to words of danger in private; once for each update."""
        turn = str(update.get("update_id"))
        if turn in self.told or turn in self._delivered:
            return
        if not raw.is_private(update) or not self.is_danger(update):
            return
        self.told.add(turn)
        self._observer.happened("emergency")
        person = PersonContext(raw.language_of(update))
        reply = self._gate.reply(self._gate.assess(raw.words_of(update)), person)
        for text in parts(reply.text):
            with suppress(TelegramError):
                await patiently(lambda text=text: bot.send_message(raw.chat_of(update), text))  # type: ignore[misc]

    def claim(self, turn: str) -> bool:
        """Whether the turn's reply may be put into the chat, which from now on `tell` leaves."""
        if turn in self.told:
            return False
        self._delivered.add(turn)
        return True

    def over(self, number: int) -> None:
        """The update is done with: it does not come again."""
        self.told.discard(str(number))
        self._delivered.discard(str(number))

    async def _warn(self, bot: Bot) -> None:
        if self._timer() - self._warned_at < WARN_EVERY_S:
            return
        self._warned_at = self._timer()
        for admin in self._admins:
            with suppress(TelegramError):
                await bot.send_message(
                    admin,
                    "The database cannot be used, so messages wait: check the disk's free space "
                    "and the log. Fixed replies to people in danger still go out.",
                )
