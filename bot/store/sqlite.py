"""SQLite in WAL: many read while one writes. Knows no table's meaning.

Whoever writes holds the write lock from the first statement on (`BEGIN
IMMEDIATE`): a transaction that began by reading could otherwise not be
finished. Which writes wait for the disk: docs/decisions/waiting-for-the-disk.md.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.pool import NullPool

from bot.store.inline import InlineSession, Threads, inline
from bot.store.keyring import Keyring
from bot.store.sessions import Sessions

BEGIN, SYNCHRONOUS = "lanner_begin", "lanner_synchronous"
BUSY_MS, WAL_PAUSE_MS = 10_000, 50
# Writers stand in line behind a checkpoint, so it does not wait long for a reader.
CHECKPOINT_TRIES, CHECKPOINT_BUSY_MS = 3, 500


class SqliteSessions(Sessions):
    """Sessions of one file."""

    def __init__(self, engine: Engine, keys: Keyring) -> None:
        self._engine, self._own_threads = engine, Threads()
        super().__init__(keys, self._own_threads)
        self._immediate = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        self._quick = self._immediate.execution_options(**{SYNCHRONOUS: "NORMAL"})
        self._alone = engine.execution_options(**{BEGIN: ""})
        # Writers of this process stand in line here; SQLite's own waiting is by chance.
        self._line = threading.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A transaction in WAL sees what stood there when it began to read."""
        with InlineSession(self._engine).used() as session:
            yield session

    @asynccontextmanager
    async def write(self, *, repeatable: bool = False) -> AsyncIterator[AsyncSession]:
        """A session that holds the write lock."""
        made = InlineSession(self._quick if repeatable else self._immediate)
        with self._line, made.used() as session, session.sync_session.begin():
            yield session

    @asynccontextmanager
    async def light_read(self) -> AsyncIterator[AsyncConnection]:
        """See read."""
        with self._engine.connect() as connection:
            yield inline(connection)

    @asynccontextmanager
    async def light_write(self, *, repeatable: bool = False) -> AsyncIterator[AsyncConnection]:
        """See write."""
        with self._line, (self._quick if repeatable else self._immediate).begin() as connection:
            yield inline(connection)

    def snapshot(self) -> AbstractAsyncContextManager[AsyncSession]:
        """See read."""
        return self.read()

    async def checkpoint(self) -> bool:
        """Empty the write-ahead log; False when a reader was in the way all the time."""
        with self._line, self._alone.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={CHECKPOINT_BUSY_MS}")
            try:
                for _ in range(CHECKPOINT_TRIES):
                    result = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                    if not result.one()[0]:
                        return True
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")
        return False

    async def vacuum(self) -> None:
        """Write the file anew."""
        with self._line, self._alone.connect() as connection:
            connection.exec_driver_sql("VACUUM")

    async def close(self) -> None:
        """Close the connections."""
        self._own_threads.close()
        self._engine.dispose()

    async def size_bytes(self) -> int:
        """The file's pages."""
        with self._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def open_engine(url: str) -> Engine:
    """An engine as Lanner runs on."""
    return _engine(url, "foreign_keys=ON", "secure_delete=ON", "synchronous=FULL")


def migrate_file(url: str, migrate: Any) -> bool:
    """Run `migrate(connection)`, which says whether it changed anything, all or nothing."""
    # Rebuilding a table drops it, which with foreign keys would delete its children's rows.
    # A server that starts at the same time waits at BEGIN IMMEDIATE.
    engine = _engine(url, "foreign_keys=OFF", "secure_delete=ON", poolclass=NullPool)
    try:
        _into_wal(engine)
        immediate = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        with immediate.begin() as connection:
            changed = bool(migrate(connection))
            _check_references(connection)
        if changed:
            _empty_pages(engine)
        return changed
    finally:
        engine.dispose()


def _into_wal(engine: Engine) -> None:
    # The file stays in WAL. While another process switches it, SQLite says "locked" at
    # once, whatever its busy_timeout is.
    alone = engine.execution_options(**{BEGIN: ""})
    for left in range(BUSY_MS // WAL_PAUSE_MS, -1, -1):
        try:
            with alone.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except OperationalError as error:
            if not left or "locked" not in str(error):
                raise
        time.sleep(WAL_PAUSE_MS / 1000)


def _empty_pages(engine: Engine) -> None:
    # What a revision sealed stood in the clear before: no page may keep it.
    alone = engine.execution_options(**{BEGIN: ""})
    with alone.connect() as connection:
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _check_references(connection: Connection) -> None:
    if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
        raise sqlite3.IntegrityError("a migration left rows without their parents")


def _engine(url: str, *pragmas: str, **options: Any) -> Engine:
    engine = create_engine(url, **options)

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

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    event.listen(engine, "handle_error", _damaged)
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
