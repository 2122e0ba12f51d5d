"""Sends an operator's message to all who agreed, slowly, and goes on after a restart.

Telegram allows about thirty messages a second to all chats together; people who
are talking come first, so this takes ten. Knows the store and Telegram.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError
from telegram import Bot
from telegram.error import BadRequest, Forbidden

from bot.patience import patiently
from bot.store.store import Store
from bot.store.tables import Broadcast

APART_S, LOOK_S, AT_ONCE = 0.1, 2.0, 100
log = logging.getLogger(__name__)


class Broadcasting:
    """A background service; `leads` says whether this process is the one that sends."""

    def __init__(
        self,
        store: Store,
        bot: Bot,
        leads: Callable[[], Awaitable[bool]],
        apart_s: float = APART_S,
        look_s: float = LOOK_S,
    ) -> None:
        self._store, self._bot, self._leads = store, bot, leads
        self._apart_s, self._look_s = apart_s, look_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.create_task(self._run(), name="broadcasting")

    async def stop(self) -> None:
        """End; the next start goes on behind the last person who had it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                under_way = await self._store.open_broadcast() if await self._leads() else None
                if under_way is not None:
                    await self._some(under_way)
                    continue
            except SQLAlchemyError as error:
                log.error("A broadcast waits for the database: %s", type(error).__name__)
            await asyncio.sleep(self._look_s)

    async def _some(self, under_way: Broadcast) -> None:
        people = await self._store.next_recipients(under_way.reached, AT_ONCE)
        for person in people:
            # An operator may have stopped it meanwhile.
            now = await self._store.open_broadcast()
            if now is None or now.id != under_way.id:
                return
            sent = await self._send(person, under_way.text)
            await self._store.reached(under_way.id, person, sent=sent)
            await asyncio.sleep(self._apart_s)
        if not people:
            await self._store.end_broadcast("done")

    async def _send(self, person: int, text: str) -> bool:
        try:
            await patiently(lambda: self._bot.send_message(person, text))
        except (Forbidden, BadRequest):
            return False
        return True
