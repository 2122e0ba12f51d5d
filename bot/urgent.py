"""What cannot wait for its chat's turn: Stop, an edit, danger; and updates that nothing can handle.

Knows the running replies and the emergency; knows no handler's meaning.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from telegram import Bot

from bot import raw, texts
from bot.chat import ChatService
from bot.emergency import Emergency
from bot.observing import TurnObserver
from bot.patience import patiently
from bot.safety.aside import Aside

log = logging.getLogger(__name__)


@dataclass
class Urgent:
    """`stopped` holds the updates that ended a reply when they arrived."""

    bot: Bot
    chat: ChatService
    emergency: Emergency
    aside: Aside
    observer: TurnObserver
    stopped: set[int] = field(default_factory=set)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    async def read_ahead(self, updates: list[raw.Raw]) -> None:
        """So that whether an update is danger is known when its chat's line asks."""
        # What cannot be read here is met again, and told, in its chat's line.
        with suppress(Exception):
            await self.aside.read(map(raw.words_of, updates))

    def overtakes(self, update: raw.Raw, alone: bool) -> bool:
        """Stop, an edit and danger end the running reply of their chat at once.

        Danger that is `alone` in its chat has nothing to overtake, and is read in its turn.
        """
        chat = raw.chat_of(update)
        person = raw.person_of(update)
        if raw.wants_stop(update):
            if self.chat.stop(chat, person):
                self.stopped.add(int(update["update_id"]))
            return True
        danger = not alone and self.emergency.is_danger(update)
        if danger or "edited_message" in update:
            self.chat.stop(chat, person)
        return danger and "message" in update

    async def overdue(self, update: raw.Raw) -> None:
        """The disk does not take this one: danger is answered without it."""
        await self.read_ahead([update])
        await self.emergency.tell(self.bot, update)

    async def given_up(self, update: raw.Raw) -> None:
        """The person of an update that nothing can handle is told; danger is answered."""
        await self.read_ahead([update])
        if self.emergency.is_danger(update):
            await self.emergency.tell(self.bot, update)
        elif raw.is_private(update):
            await self.bot.send_message(raw.chat_of(update), texts.GIVEN_UP)

    async def damaged(self, number: int, chat: int | None) -> None:
        """An update cannot be read any more: the operator sees it, the person is asked again."""
        log.error("Update %d is damaged on disk and was put aside.", number)
        self.observer.happened("quarantined")
        if chat is not None and chat > 0:
            call = patiently(lambda: self.bot.send_message(chat, texts.GIVEN_UP))
            self.tasks.append(asyncio.create_task(call))

    async def store_failed(self, updates: list[raw.Raw], error: Exception) -> None:
        """The database did not take these."""
        await self.read_ahead(updates)
        await self.emergency.store_failed(self.bot, updates, error)

    async def stop(self) -> None:
        """What is still being said is left."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
