"""SQLite in WAL: many read while one writes. Knows no table's meaning.

Whoever writes holds the write lock from the first statement on (`BEGIN
IMMEDIATE`): a transaction that began by reading could otherwise not be
finished. Which writes wait for the disk: docs/decisions/waiting-for-the-disk.md.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from bot.store.keyring import Keyring
from bot.store.sessions import Sessions

BEGIN, SYNCHRONOUS = "lanner_begin", "lanner_synchronous"
BUSY_MS, WAL_PAUSE_MS = 10_000, 50
# Writers stand in line behind a checkpoint, so it does not wait long for a reader.
CHECKPOINT_TRIES, CHECKPOINT_BUSY_MS = 3, 500


class SqliteSessions(Sessions):
    """Sessions of one file."""

    def __init__(self, engine: AsyncEngine, keys: Keyring) -> None:
        super().__init__(engine, keys)
        immediate = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        self._alone = engine.execution_options(**{BEGIN: ""})
        self._writing = async_sessionmaker(immediate, expire_on_commit=False)
        quick = immediate.execution_options(**{SYNCHRONOUS: "NORMAL"})
        self._repeating = async_sessionmaker(quick, expire_on_commit=False)
        # Writers of this process stand in line here; SQLite's own waiting is by chance.
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def write(self, *, repeatable: bool = False) -> AsyncIterator[AsyncSession]:
        """A session that holds the write lock."""
        made = self._repeating if repeatable else self._writing
        async with self._line, made.begin() as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """A transaction in WAL sees what stood there when it began to read."""
        async with self._reading() as session:
            yield session

    async def checkpoint(self) -> bool:
        """Empty the write-ahead log; False when a reader was in the way all the time."""
        async with self._line, self._alone.connect() as connection:
            await connection.exec_driver_sql(f"PRAGMA busy_timeout={CHECKPOINT_BUSY_MS}")
            try:
                for _ in range(CHECKPOINT_TRIES):
                    result = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                    if not result.one()[0]:
                        return True
            finally:
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")
        return False

    async def vacuum(self) -> None:
        """Write the file anew."""
        async with self._line, self._alone.connect() as connection:
            await connection.exec_driver_sql("VACUUM")

    async def size_bytes(self) -> int:
        """The file's pages."""
        async with self.engine.connect() as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            return int(pages * (await connection.exec_driver_sql("PRAGMA page_size")).scalar_one())


def open_engine(url: str) -> AsyncEngine:
    """An engine as Lanner runs on."""
    return _engine(url, "foreign_keys=ON", "secure_delete=ON", "synchronous=FULL")


async def migrate_file(url: str, migrate: Any) -> bool:
    """Run `migrate(connection)`, which says whether it changed anything, all or nothing."""
    # Rebuilding a table drops it, which with foreign keys would delete its children's rows.
    # A server that starts at the same time waits at BEGIN IMMEDIATE.
    engine = _engine(url, "foreign_keys=OFF", "secure_delete=ON", poolclass=NullPool)
    try:
        await _into_wal(engine)
        immediate = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        async with immediate.begin() as connection:
            changed = bool(await connection.run_sync(migrate))
            await connection.run_sync(_check_references)
        if changed:
            await _empty_pages(engine)
        return changed
    finally:
        await engine.dispose()


async def _into_wal(engine: AsyncEngine) -> None:
    # The file stays in WAL. While another process switches it, SQLite says "locked" at
    # once, whatever its busy_timeout is.
    alone = engine.execution_options(**{BEGIN: ""})
    for left in range(BUSY_MS // WAL_PAUSE_MS, -1, -1):
        try:
            async with alone.connect() as connection:
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except OperationalError as error:
            if not left or "locked" not in str(error):
                raise
        await asyncio.sleep(WAL_PAUSE_MS / 1000)


async def _empty_pages(engine: AsyncEngine) -> None:
    # What a revision sealed stood in the clear before: no page may keep it.
    alone = engine.execution_options(**{BEGIN: ""})
    async with alone.connect() as connection:
        await connection.exec_driver_sql("VACUUM")
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _check_references(connection: Connection) -> None:
    if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
        raise sqlite3.IntegrityError("a migration left rows without their parents")


def _engine(url: str, *pragmas: str, **options: Any) -> AsyncEngine:
    engine = create_async_engine(url, **options)

    def prepare(connection: Any, _record: object) -> None:
        # Python's driver would begin late and by itself; `begin` below does it.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_MS}", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if BEGIN in options:
            _wait_for_disk(connection, options.get(SYNCHRONOUS, "FULL"))
        if statement := options.get(BEGIN, "BEGIN"):
            connection.exec_driver_sql(statement)

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", begin)
    event.listen(engine.sync_engine, "handle_error", _damaged)
    return engine


def _damaged(context: ExceptionContext) -> None:
    # A file with a damaged page is what an operator must mend, as a full disk is.
    found = context.original_exception
    if type(found) is sqlite3.DatabaseError:
        raise OperationalError(context.statement, None, found)


def _wait_for_disk(connection: Connection, level: str) -> None:
    # SQLite takes it between transactions alone, and a connection keeps it until the next change.
    if connection.info.setdefault(SYNCHRONOUS, "FULL") != level:
        connection.exec_driver_sql(f"PRAGMA synchronous={level}")
        connection.info[SYNCHRONOUS] = level
