"""Is the master key there, private, and the one that the database was sealed with."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bot.doctor.findings import Finding, ill, note, well
from bot.sealing.master import MasterKeyError, MasterSource
from bot.store import postgres
from bot.store.keyring import masters_in_use

COPY = "Keep a copy of it apart from the backups: without it nothing can be read."


def master_key(source: MasterSource) -> Finding:
    """The key itself."""
    if source.text is None and not source.path.exists():
        return well("key", f"{source.path.name} is made at the first start. {COPY}")
    try:
        source.load(create=False)
    except MasterKeyError as error:
        return ill("key", str(error), "Put the key's copy back.")
    if source.text is not None:
        return well("key", f"The master key is in LANNER_MASTER_KEY. {COPY}")
    if stat.S_IMODE(source.path.stat().st_mode) & 0o077:
        return note("key", f"Others may read {source.path}.", f"chmod 600 {source.path}")
    return well("key", f"{source.path.name} is private. {COPY}")


def fits(url: str, source: MasterSource) -> Finding:
    """Whether the database's keys open with it; a database that cannot be asked is not judged."""
    readable = _read_only(url)
    if readable is None:
        return well("key", "Nothing is sealed yet.")
    try:
        used = _masters(readable)
    except Exception as error:
        return note("key", f"The database cannot be asked ({type(error).__name__}).",
                    "Mend the database first.")  # fmt: skip
    if not used:
        return well("key", "Nothing is sealed yet.")
    try:
        missing = used - source.load(create=False).names
    except MasterKeyError as error:
        return ill("key", str(error), "Put the key's copy back.")
    if missing:
        return ill(
            "key",
            "The database was sealed with another master key.",
            "Put the right key back (LANNER_MASTER_KEY or LANNER_MASTER_KEY_FILE).",
        )
    return well("key", "The database opens with it.")


def _masters(url: str) -> frozenset[str]:
    if not url.startswith(postgres.PREFIX):
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return _used(connection)
    return asyncio.run(_masters_of_server(url))


async def _masters_of_server(url: str) -> frozenset[str]:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_used)
    finally:
        await engine.dispose()


def _used(connection: Connection) -> frozenset[str]:
    known = inspect(connection).has_table("alembic_version")
    return masters_in_use(connection) if known else frozenset()


def _read_only(url: str) -> str | None:
    """A URL that makes no file; None where there is none yet."""
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite":
        return url
    path = Path(parts.database or "").resolve()
    return f"{parts.drivername}:///{path.as_uri()}?mode=ro&uri=true" if path.exists() else None
