"""Opening the database: SQLite in WAL, migrated at start. Knows no table's meaning.

Many may read while one writes. Whoever writes holds the write lock from the
first statement on (`BEGIN IMMEDIATE`): a transaction that began by reading
could otherwise not be finished.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

BEGIN = "lanner_begin"
BUSY_MS = 10_000
# Writers stand in line behind a checkpoint, so it does not wait long for a reader.
CHECKPOINT_TRIES, CHECKPOINT_BUSY_MS = 3, 500


class StoreError(Exception):
    """The database cannot be used; the sentence says what to do."""


class Sessions:
    """Short sessions of one database. Never hold one across a generation or a network call."""

    def __init__(self, engine: AsyncEngine) -> None:
        immediate = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        self._alone = engine.execution_options(**{BEGIN: ""})
        self._reading = async_sessionmaker(engine, expire_on_commit=False)
        self._writing = async_sessionmaker(immediate, expire_on_commit=False)
        # Writers of this process stand in line here; SQLite's own waiting is by chance.
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database."""
        async with self._reading() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session that holds the write lock, committed at the end."""
        async with self._line, self._writing.begin() as session:
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
        """Write the file anew, so that no page keeps what was deleted from it."""
        async with self._line, self._alone.connect() as connection:
            await connection.exec_driver_sql("VACUUM")


async def open_database(url: str, data_dir: Path) -> tuple[AsyncEngine, Sessions]:
    """An engine with every migration applied; raises StoreError."""
    try:
        await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
        await _migrate_file(url)
    except CommandError as error:
        raise StoreError(
            f"The database in {data_dir} was written by a newer Lanner: "
            "update Lanner, or restore a backup."
        ) from error
    except (OSError, SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(_sentence(data_dir, error)) from error
    engine = _engine(url, "foreign_keys=ON", "secure_delete=ON", "synchronous=FULL")
    return engine, Sessions(engine)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run Alembic over an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def _migrate_file(url: str) -> None:
    # Rebuilding a table drops it, which with foreign keys would delete its children's rows.
    # A server that starts at the same time waits at BEGIN IMMEDIATE.
    engine = _engine(url, "foreign_keys=OFF", "secure_delete=ON", poolclass=NullPool)
    try:
        immediate = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        async with immediate.begin() as connection:
            await connection.run_sync(migrate)
            await connection.run_sync(_check_references)
    finally:
        await engine.dispose()


def _check_references(connection: Connection) -> None:
    if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
        raise sqlite3.IntegrityError("a migration left rows without their parents")


def _engine(url: str, *pragmas: str, **options: Any) -> AsyncEngine:
    engine = create_async_engine(url, **options)

    def prepare(connection: Any, _record: object) -> None:
        # Python's driver would begin late and by itself; `begin` below does it.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: Connection) -> None:
        if statement := connection.get_execution_options().get(BEGIN, "BEGIN"):
            connection.exec_driver_sql(statement)

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _sentence(data_dir: Path, error: Exception) -> str:
    if "not a database" in str(error) or "malformed" in str(error):
        return f"The database in {data_dir} is damaged: move it away, or restore a backup."
    return (
        f"The database in {data_dir} cannot be opened or migrated ({type(error).__name__}): "
        "check that the folder is writable and the disk not full."
    )
