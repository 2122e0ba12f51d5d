"""Can the database be opened, is it whole, is it migrated. Changes nothing in it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bot.doctor.findings import Finding, ill, note, well

ANSWER_S = 10.0
RESTORE = "Stop Lanner, move the file away, and restore a backup."


def server(url: str) -> Finding:
    """The database on a server; `url` may hold a password and is never shown."""
    try:
        asyncio.run(asyncio.wait_for(_ask(url), ANSWER_S))
    except (OSError, SQLAlchemyError, TimeoutError, ValueError) as error:
        return ill(
            "database",
            f"The database server does not answer ({type(error).__name__}).",
            "Check LANNER_DATABASE_URL, the server, and that this user may connect.",
        )
    return well("database", "The database server answers.")


async def _ask(url: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    finally:
        await engine.dispose()


def sqlite_file(path: Path) -> Finding:
    """The SQLite file at `path`."""
    if not path.exists():
        return well("database", f"{path.name} is made at the first start.")
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5) as file:
            state = file.execute("PRAGMA quick_check(1)").fetchone()[0]
            version = file.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return note("database", f"{path.name} is not Lanner's, or is empty.", "Move it away.")
        return ill(
            "database",
            f"{path.name} cannot be opened ({error}).",
            "Give the folder to the user who runs Lanner, and end other programs that lock it.",
        )
    except sqlite3.DatabaseError:
        return ill("database", f"{path.name} is damaged.", RESTORE)
    if state != "ok":
        return ill("database", f"{path.name} is damaged.", RESTORE)
    return well("database", f"{path.name} is whole, at revision {version[0] if version else '–'}.")
