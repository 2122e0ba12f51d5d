"""Asks Telegram for updates, and watches that asking does not die silently.

An update is confirmed (by the next offset) only when it is on disk. Polls by
itself, since PTB confirms updates before they are handled. Knows Telegram's
getUpdates; knows nothing of what updates mean.
"""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

from telegram import Bot
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError
from telegram.warnings import PTBUserWarning

from bot import raw
from bot.inbox import STORE_DOWN, Inbox, StoreFailed
from bot.observing import TurnObserver
from bot.patience import Backoff, pause_s

LONG_POLL_S, CONFLICT_S, STORE_S = 20, 5.0, 1.0
# A dead network is tried this often: somebody in danger may be writing.
AGAIN_S = 5.0
# A poll answers within LONG_POLL_S or fails soon after; more silence than this is a fault.
SILENT_S, LOOK_S = 90.0, 5.0
log = logging.getLogger(__name__)


class Polling:
    """`run()` until cancelled."""

    def __init__(
        self,
        inbox: Inbox,
        store_failed: StoreFailed,
        observer: TurnObserver,
        timer: Callable[[], float] = time.monotonic,
        silent_s: float = SILENT_S,
        look_s: float = LOOK_S,
        long_poll_s: int = LONG_POLL_S,
    ) -> None:
        self._inbox, self._store_failed, self._observer = inbox, store_failed, observer
        self._timer, self._silent_s, self._look_s = timer, silent_s, look_s
        self._last: float | None = None
        self._offset, self._long_poll_s = 0, long_poll_s

    def age_s(self) -> float | None:
        """Seconds since the last successful poll; None before the first."""
        return None if self._last is None else self._timer() - self._last

    async def run(self, bot: Bot) -> None:
        """Raises InvalidToken when Telegram does not know the token."""
        while True:
            poll = asyncio.create_task(self._poll(bot), name="poll")
            try:
                await self._watch(poll)
            finally:
                poll.cancel()
                await asyncio.gather(poll, return_exceptions=True)
            log.error("No poll has succeeded for %.0f seconds: polling anew.", self._silent_s)
            self._observer.happened("poll_restart")

    async def _watch(self, poll: asyncio.Task[None]) -> None:
        """Returns when polling has been silent for too long; raises what ended it."""
        since = self._timer()
        while self._timer() - max(since, self._last or since) < self._silent_s:
            done, _ = await asyncio.wait({poll}, timeout=self._look_s)
            if done:
                poll.result()

    async def _poll(self, bot: Bot) -> None:
        backoff = Backoff(AGAIN_S)
        with suppress(TelegramError):
            # A webhook that an earlier run left would refuse every poll.
            await bot.delete_webhook()
        while True:
            try:
                updates = await get_updates(bot, self._offset, self._long_poll_s)
            except InvalidToken:
                raise
            except RetryAfter as refused:
                await asyncio.sleep(pause_s(refused))
            except Conflict:
                log.error("Another program polls with this token: stop it, or use another token.")
                await asyncio.sleep(CONFLICT_S)
            except (TelegramError, RecursionError) as error:
                # The latter is an answer nested too deeply to be read.
                log.warning("Telegram cannot be reached (%s); trying again.", type(error).__name__)
                await backoff.wait()
            else:
                backoff = Backoff(AGAIN_S)
                await self._keep(updates)

    async def _keep(self, updates: list[raw.Raw]) -> None:
        """Only what is on disk is confirmed; words of danger do not wait for the disk.

        While the disk fails, the same updates and those behind them are asked
        for again and again: at most 100, which is all that Telegram gives.
        """
        try:
            await self._inbox.take(updates)
        except STORE_DOWN as error:
            await self._store_failed(updates, error)
            await asyncio.sleep(STORE_S)
            return
        self._last = self._timer()
        if updates:
            self._offset = max(int(each["update_id"]) for each in updates) + 1


async def get_updates(bot: Bot, offset: int, timeout_s: int) -> list[raw.Raw]:
    """Updates from `offset` on, as Telegram wrote them; raises TelegramError."""
    # PTB's own get_updates would lose fields that it does not know yet.
    warnings.filterwarnings("ignore", "Please use 'Bot.getUpdates'", PTBUserWarning)
    found = await bot.do_api_request(
        "getUpdates",
        api_kwargs={"offset": offset, "timeout": timeout_s, "allowed_updates": raw.KINDS},
        read_timeout=timeout_s + 5,
    )
    return [each for each in found if raw.is_update(each)] if isinstance(found, list) else []
