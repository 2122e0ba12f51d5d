"""Opening the database that a URL names: migrated, with its keys. Knows no table's meaning."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bot.sealing.master import FILE, MasterKeyError, MasterSource
from bot.store import postgres, sqlite
from bot.store.keyring import Keyring
from bot.store.migrating import Opening
from bot.store.migrating import migrate as migrate
from bot.store.sessions import Sessions


class StoreError(Exception):
    """The database cannot be used; the sentence says what to do."""


async def open_database(url: str, data_dir: Path, source: MasterSource | None = None) -> Sessions:
    """Sessions of a database with every migration applied; raises StoreError.

    Without `source` the master key is the file `master.key` in `data_dir`,
    made if the database is new.
    """
    source = source or MasterSource(data_dir / FILE)
    opening, on_server = Opening(source), url.startswith(postgres.PREFIX)
    try:
        await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
        if on_server:
            await postgres.migrate_server(url, opening)
            keys = Keyring(source, opening.master)
            return postgres.PostgresSessions(postgres.open_engine(url), keys)
        await asyncio.to_thread(sqlite.migrate_file, url, opening)
        return sqlite.SqliteSessions(sqlite.open_engine(url), Keyring(source, opening.master))
    except MasterKeyError as error:
        raise StoreError(str(error)) from error
    except CommandError as error:
        raise StoreError(
            f"The database in {_place(url, data_dir)} was written by a newer Lanner: "
            "update Lanner, or restore a backup."
        ) from error
    except (OSError, SQLAlchemyError, sqlite3.Error) as error:
        sentence = _server_sentence(url, error) if on_server else _sentence(data_dir, error)
        raise StoreError(sentence) from error


def _place(url: str, data_dir: Path) -> str:
    return _server(url) if url.startswith(postgres.PREFIX) else str(data_dir)


def _server(url: str) -> str:
    parts = make_url(url)
    return f"PostgreSQL at {parts.host or parts.query.get('host', 'the local socket')}"


def _server_sentence(url: str, error: Exception) -> str:
    # The driver's own words may repeat the password.
    cause = getattr(error, "orig", None) or error
    name = type(getattr(cause, "__cause__", None) or cause).__name__
    if isinstance(error, DBAPIError):
        return (
            f"{_server(url)} refused ({name}): check the user, the password, the database's name "
            "and that the user may create tables there."
        )
    return (
        f"{_server(url)} cannot be reached ({name}): check that the server runs and that "
        "LANNER_DATABASE_URL is right."
    )


def _sentence(data_dir: Path, error: Exception) -> str:
    if "not a database" in str(error) or "malformed" in str(error):
        return f"The database in {data_dir} is damaged: move it away, or restore a backup."
    return (
        f"The database in {data_dir} cannot be opened or migrated ({type(error).__name__}): "
        "check that the folder is writable and the disk not full."
    )
