"""Opening the database: SQLite in WAL, migrated at start. Knows no table's meaning."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

Sessions = async_sessionmaker[AsyncSession]


class StoreError(Exception):
    """The database cannot be used; the sentence says what to do."""


async def open_database(url: str, data_dir: Path) -> tuple[AsyncEngine, Sessions]:
    """An engine with every migration applied; raises StoreError."""
    try:
        await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
        engine = create_async_engine(url)
        event.listen(engine.sync_engine, "connect", _pragmas)
        async with engine.begin() as connection:
            await connection.run_sync(migrate)
    except (OSError, SQLAlchemyError) as error:
        raise StoreError(
            f"The database in {data_dir} cannot be opened or migrated "
            f"({type(error).__name__}): check that the folder is writable and the disk not full."
        ) from error
    return engine, async_sessionmaker(engine, expire_on_commit=False)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run Alembic over an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "busy_timeout=10000",
        "foreign_keys=ON",
        "secure_delete=ON",
        "synchronous=FULL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
