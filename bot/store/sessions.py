"""Short sessions of one database. Never hold one across a generation or a network call.

Knows what every dialect shares; bot.store.sqlite and bot.store.postgres know
their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from bot.store.inline import Threads
from bot.store.keyring import Keyring


class Sessions(ABC):
    """Reads, writes and upkeep of one database, with the keys that its words are sealed under."""

    # Whether several processes may take updates from one inbox.
    shared = False

    def __init__(self, keys: Keyring, threads: Threads | None = None) -> None:
        self.keys, self.threads = keys, threads

    @abstractmethod
    def read(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session that changes nothing."""

    @abstractmethod
    def write(self, *, repeatable: bool = False) -> AbstractAsyncContextManager[AsyncSession]:
        """A session that is committed at the end.

        `repeatable`: an update that stays open would write this again, so a power cut may take
        it, with all that was written after it; the death of the process takes nothing.
        """

    @abstractmethod
    def light_read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """As `read`, of rows and no objects, which take less of the processor."""

    @abstractmethod
    def light_write(
        self, *, repeatable: bool = False
    ) -> AbstractAsyncContextManager[AsyncConnection]:
        """As `write`, of rows and no objects."""

    @abstractmethod
    def snapshot(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session that sees one state of the database, however long it reads."""

    @abstractmethod
    async def checkpoint(self) -> bool:
        """Let go of what the log still holds; False when a reader was in the way all the time."""

    @abstractmethod
    async def vacuum(self) -> None:
        """Write anew, so that no page keeps what was deleted from it."""

    @abstractmethod
    async def close(self) -> None:
        """Give the connections back; nothing may be under way."""

    @abstractmethod
    async def size_bytes(self) -> int:
        """How much the database takes on disk."""
