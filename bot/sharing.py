"""Several Lanners on one inbox: this process takes the chats that it claimed, and no others.

Only where the database is shared (PostgreSQL). One of the processes polls
Telegram for all; each takes chats as they are free, and the chats of one that
died as soon as the database knows it. Knows claims and lines; knows nothing of
what updates mean.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from bot import raw
from bot.store.presence import Presence
from bot.store.store import Store

LOOK_S, DEAD_S, FOLLOW_S = 0.1, 1.0, 2.0
CHATS_AT_ONCE = 50
log = logging.getLogger(__name__)


class Sharing:
    """`run()` until cancelled hands claimed updates to `dispatch`, each of them once."""

    def __init__(
        self, store: Store, presence: Presence, dispatch: Callable[[raw.Raw], None]
    ) -> None:
        self._store, self._presence, self._dispatch = store, presence, dispatch
        self._given: set[int] = set()
        self._news = asyncio.Event()

    def news(self) -> None:
        """This process received updates itself: no need to wait for the next look."""
        self._news.set()

    async def run(self) -> None:
        """Claim and dispatch; a database that fails is waited out."""
        loop = asyncio.get_running_loop()
        buried = -DEAD_S
        while True:
            self._news.clear()
            try:
                if loop.time() - buried >= DEAD_S:
                    buried = loop.time()
                    await self._store.free_the_dead(self._presence.number)
                await self._claim()
            except (SQLAlchemyError, OSError) as error:
                log.error("Claims wait for the database: %s", type(error).__name__)
                await asyncio.sleep(DEAD_S)
            await _either(self._news, LOOK_S)

    async def lead(self, poll: Callable[[], Awaitable[None]]) -> None:
        """Run `poll` once this process is the one that polls, which may be never."""
        while not await self._presence.lead():  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(FOLLOW_S)
        await poll()

    async def _claim(self) -> None:
        held = await self._store.claim_updates(self._presence.number, CHATS_AT_ONCE)
        numbers = {int(update["update_id"]) for update in held}
        fresh = [update for update in held if int(update["update_id"]) not in self._given]
        self._given = numbers
        for update in fresh:
            self._dispatch(update)


async def _either(event: asyncio.Event, most_s: float) -> None:
    try:
        async with asyncio.timeout(most_s):
            await event.wait()
    except TimeoutError:
        return
