"""Can the database be opened, is it whole, is it migrated. Changes nothing in it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bot.doctor.findings import Finding, ill, note, well

CONNECT_S = 5
RESTORE = "Stop Lanner, move the file away, and restore a backup."


def server(url: str) -> Finding:
    """The PostgreSQL server that `url` names."""
    try:
        version, revision = asyncio.run(_asked(url))
    except Exception as error:
        # The driver's own words may repeat the password.
        return ill(
            "database",
            f"PostgreSQL cannot be used ({type(error).__name__}).",
            "Check that the server runs, and user, password, host and name in LANNER_DATABASE_URL.",
        )
    return well("database", f"PostgreSQL {version}, at revision {revision or 'none yet'}.")


async def _asked(url: str) -> tuple[str, str | None]:
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_S})
    try:
        async with engine.connect() as connection:
            version = (await connection.execute(text("SHOW server_version"))).scalar_one()
            known = text("SELECT to_regclass('alembic_version')")
            if (await connection.execute(known)).scalar() is None:
                return version, None
            found = await connection.execute(text("SELECT version_num FROM alembic_version"))
            return version, found.scalar()
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
