"""Puts updates on disk, whatever they look like.

    kept      those that are new, whole
    bare      its number alone, where its shape cannot be kept: it holds up no other

A database that fails is raised as STORE_DOWN: the updates come again. Knows the
store and updates' numbers; knows nothing of lines or of what updates mean.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.exc import InterfaceError, OperationalError

from bot import raw
from bot.overdue import Overdue
from bot.sealing.master import MasterKeyError
from bot.store.store import Store

# What an operator can mend, and after which the same call succeeds.
STORE_DOWN = (OperationalError, InterfaceError, MasterKeyError)
log = logging.getLogger(__name__)


class Keeper:
    """`misshapen` names the error of each update of which the number alone is kept."""

    def __init__(
        self, store: Store, cleanse: Callable[[raw.Raw], raw.Raw], overdue: Overdue
    ) -> None:
        self._store, self._cleanse, self._overdue = store, cleanse, overdue
        self.misshapen: dict[int, str] = {}

    async def keep(self, updates: list[raw.Raw]) -> list[raw.Raw]:
        """Those that are new, on disk now; raises STORE_DOWN."""
        begun = [int(each["update_id"]) for each in updates if self._overdue.begin(each)]
        fresh = await self._kept(updates)
        new = {int(each["update_id"]) for each in fresh}
        for number in begun:
            if number not in new:
                self._overdue.leave(number)
        return fresh

    async def _kept(self, updates: list[raw.Raw]) -> list[raw.Raw]:
        try:
            return await self._store.receive([self._cleanse(each) for each in updates])
        except STORE_DOWN:
            raise
        except Exception as error:
            if len(updates) > 1:
                return [new for each in updates for new in await self._kept([each])]
            return await self._bare(updates[0], error)

    async def _bare(self, update: raw.Raw, error: Exception) -> list[raw.Raw]:
        number = int(update["update_id"])
        # The type alone: an exception's text may hold a person's words.
        log.error("An update could not be kept: %s", type(error).__name__)
        if not await self._store.receive([{"update_id": number}]):
            return []
        self.misshapen[number] = type(error).__name__
        return [update]
