"""A process among those that share a database: known to live while its connection does.

PostgreSQL holds a lock for as long as a connection lives and gives it up the
moment that the process dies, whatever the clocks say. With SQLite a process is
alone (bot.lock sees to it). Knows no table.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.postgres import PostgresSessions
from bot.store.sessions import Sessions

# Kinds of advisory locks; any numbers that nothing else on this database uses.
PROCESSES, LEADER = 0x6C70, 0x6C6C
BEAT_S = 2.0


class Presence:
    """`enter()`, then `number` is this process's; `lost()` returns when it no longer counts."""

    def __init__(self, sessions: Sessions, beat_s: float = BEAT_S) -> None:
        self._sessions, self._beat = sessions, beat_s
        self.number = secrets.randbelow(2**31 - 1) + 1
        self._connection: AsyncConnection | None = None
        # One statement at a time goes over a connection.
        self._line = asyncio.Lock()
        self._leads = not sessions.shared

    async def enter(self) -> None:
        """Be counted among the living."""
        if isinstance(self._sessions, PostgresSessions):
            alone = self._sessions.engine.execution_options(isolation_level="AUTOCOMMIT")
            self._connection = await alone.connect()
            while not await self._lock(PROCESSES, self.number):
                self.number = secrets.randbelow(2**31 - 1) + 1

    async def lead(self) -> bool:
        """Whether this is the one process that polls Telegram; asks for it each time."""
        if not self._leads:
            with suppress(SQLAlchemyError, OSError):
                self._leads = await self._lock(LEADER, 0)
        return self._leads

    async def lost(self) -> str:
        """Return with a sentence when the others count this process as dead."""
        while True:
            await asyncio.sleep(self._beat)
            try:
                if self._connection is not None:
                    async with self._line:
                        await self._connection.execute(text("SELECT 1"))
            except (SQLAlchemyError, OSError):
                self._leads = False
                return "The database gave this process up: it ends, so that no turn runs twice."

    async def leave(self) -> None:
        """Give the claims up at once."""
        if self._connection is not None:
            with suppress(SQLAlchemyError, OSError):
                # Closed for good: a pooled connection would keep its locks.
                await self._connection.invalidate()
                await self._connection.close()
            self._connection = None

    async def _lock(self, kind: int, number: int) -> bool:
        if self._connection is None:
            return False
        asked = text("SELECT pg_try_advisory_lock(:kind, :number)")
        async with self._line:
            got = await self._connection.execute(asked, {"kind": kind, "number": number})
        return bool(got.scalar_one())
