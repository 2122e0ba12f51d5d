"""Updates: on disk before Telegram is told, then in order for each chat.

Polls by itself, since PTB confirms updates before they are handled. Stop and
crisis overtake a chat's queue. Knows raw updates; knows nothing of replies.
"""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from telegram import Bot
from telegram.error import Conflict, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.warnings import PTBUserWarning

from bot.store.store import Store

KINDS = ["message", "edited_message", "callback_query"]
Handle = Callable[[dict[str, Any]], Awaitable[None]]
log = logging.getLogger(__name__)


def chat_of(update: dict[str, Any]) -> int:
    """The chat that an update belongs to; 0 for none."""
    body: dict[str, Any] = next((update[kind] for kind in KINDS if kind in update), {})
    message = body.get("message", body)
    return int(message.get("chat", {}).get("id", 0))


class Inbox:
    """`urgent` says whether an update overtakes and stops what runs before it."""

    def __init__(
        self, store: Store, handle: Handle, urgent: Callable[[dict[str, Any]], bool]
    ) -> None:
        self._store, self._handle, self._urgent = store, handle, urgent
        self._lines: dict[int, deque[dict[str, Any]]] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self.last_poll: float | None = None

    async def resume(self) -> None:
        """Take up what an earlier run received and did not finish."""
        for update in await self._store.open_updates():
            self.dispatch(update)

    async def poll(self, bot: Bot) -> None:
        """Until cancelled; raises InvalidToken when Telegram does not know the token."""
        # PTB's own get_updates would lose fields that it does not know yet.
        warnings.filterwarnings("ignore", "Please use 'Bot.getUpdates'", PTBUserWarning)
        offset = 0
        while True:
            try:
                updates = await self._get(bot, offset)
                await self._store.receive(updates)
            except InvalidToken:
                raise
            except RetryAfter as pause:
                await asyncio.sleep(float(pause._retry_after.total_seconds()))
                continue
            except Conflict:
                log.error("Another program polls with this token: stop it, or use another token.")
                await asyncio.sleep(5)
                continue
            except (TelegramError, NetworkError) as error:
                log.warning("Telegram cannot be reached (%s); trying again.", type(error).__name__)
                await asyncio.sleep(2)
                continue
            self.last_poll = time.monotonic()
            for update in updates:
                offset = int(update["update_id"]) + 1
                self.dispatch(update)

    def dispatch(self, update: dict[str, Any]) -> None:
        """Queue an update in its chat's line."""
        chat = chat_of(update)
        line = self._lines.setdefault(chat, deque())
        if self._urgent(update):
            line.appendleft(update)
        else:
            line.append(update)
        if chat not in self._workers:
            self._workers[chat] = asyncio.create_task(self._work(chat), name=f"chat {chat}")

    async def stop(self) -> None:
        """Cancel running turns; they are taken up at the next start."""
        tasks = list(self._workers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, chat: int) -> None:
        line = self._lines[chat]
        while line:
            update = line.popleft()
            try:
                await self._handle(update)
            except Exception as error:
                # A poison update is put aside, so that the next ones flow; its text stays out.
                log.error("An update could not be handled: %s", type(error).__name__)
            await self._store.finish_update(int(update["update_id"]))
        del self._workers[chat], self._lines[chat]

    async def _get(self, bot: Bot, offset: int) -> list[dict[str, Any]]:
        found = await bot.do_api_request(
            "getUpdates",
            api_kwargs={"offset": offset, "timeout": 20, "allowed_updates": KINDS},
            read_timeout=30,
        )
        return list(found) if isinstance(found, list) else []
