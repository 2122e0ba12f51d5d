"""While the database opens: words of danger are answered, and nothing else is.

A large database may take minutes to migrate. Nothing is confirmed, so every
update comes again once the store is there, and who has had the fixed reply is
not given it twice. Knows getUpdates and the emergency; knows no store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from telegram import Bot
from telegram.error import InvalidToken, RetryAfter, TelegramError

from bot.emergency import Emergency
from bot.patience import pause_s
from bot.polling import get_updates

T = TypeVar("T")
# Most databases are open by then, and polling has not begun.
QUICK_S, AGAIN_S = 1.0, 1.0


async def opened(
    opening: Coroutine[Any, Any, T], bot: Bot, emergency: Emergency, quick_s: float = QUICK_S
) -> T:
    """What `opening` gives or raises."""
    task = asyncio.ensure_future(opening)
    try:
        await asyncio.wait({task}, timeout=quick_s)
        if not task.done():
            await _watch(task, bot, emergency)
        return await task
    finally:
        task.cancel()


async def _watch(task: asyncio.Future[Any], bot: Bot, emergency: Emergency) -> None:
    async with bot:
        while not task.done():
            looking: asyncio.Future[Any] = asyncio.ensure_future(_look(bot, emergency))
            await asyncio.wait({task, looking}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                await asyncio.wait({task}, timeout=looking.result())
            else:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)


async def _look(bot: Bot, emergency: Emergency) -> float:
    """Answer what cannot wait; seconds until it is worth looking again."""
    try:
        updates = await get_updates(bot, offset=0, timeout_s=0)
    except InvalidToken:
        raise
    except RetryAfter as refused:
        return pause_s(refused)
    except TelegramError:
        # A dead network, or a webhook that is set: polling will say so.
        return AGAIN_S
    await asyncio.gather(*(emergency.tell(bot, each) for each in updates))
    return AGAIN_S
