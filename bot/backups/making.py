"""Making a backup while Lanner runs: one state of the database, sealed person by person."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from alembic.migration import MigrationContext
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.backups.frames import MAGIC, tag, write_frame
from bot.backups.keys_copy import write_keys
from bot.backups.owners import TABLES, rows_with_owner
from bot.clock import Clock
from bot.store.keyring import HOUSE, Key
from bot.store.sessions import Sessions
from bot.store.tables import Person

ROWS_AT_ONCE = 500


async def make_backup(sessions: Sessions, folder: Path, clock: Clock) -> Path:
    """Write a backup and the keys' copy into `folder`; raises OSError."""
    await _keys_for_all(sessions)
    path = folder / f"lanner-{clock():%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}.backup"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    with _whole(path) as file:
        async with sessions.snapshot() as session:
            await _Writer(sessions, session, file).write(clock)
    # After the rows: whoever came meanwhile has a key in the copy, never the other way round.
    await write_keys(sessions, folder)
    return path


async def _keys_for_all(sessions: Sessions) -> None:
    async with sessions.write() as session:
        people = list(await session.scalars(select(Person.id)))
        for at in range(0, len(people), ROWS_AT_ONCE):
            await sessions.keys.make(session, [HOUSE, *people[at : at + ROWS_AT_ONCE]])
        await sessions.keys.make_one(session, HOUSE)


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is complete and on disk, or not at all."""
    beside = path.with_suffix(".part")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)


class _Writer:
    """Writes the frames of one backup."""

    def __init__(self, sessions: Sessions, session: AsyncSession, file: IO[bytes]) -> None:
        self._keys, self._session, self._file = sessions.keys, session, file
        self._number, self._name, self._tags = 0, secrets.token_hex(16), sha256()

    async def write(self, clock: Clock) -> None:
        connection = await self._session.connection()
        revision = await connection.run_sync(
            lambda c: MigrationContext.configure(c).get_current_revision()
        )
        house = (await self._keys.find(self._session, [HOUSE]))[HOUSE]
        self._file.write(MAGIC + self._name.encode())
        self._frame(house, {"revision": revision, "made": clock().isoformat()})
        for table in TABLES:
            result = await self._session.stream(rows_with_owner(table))
            async for rows in result.partitions(ROWS_AT_ONCE):
                await self._rows(table.name, rows, house)
        self._frame(house, {"tags": self._tags.hexdigest()})

    async def _rows(self, table: str, rows: Any, house: Key) -> None:
        mine: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            values = _values(row)
            mine.setdefault(values.pop("owner_"), []).append(values)
        keys = await self._keys.find(self._session, mine)
        for owner, each in mine.items():
            self._frame(keys.get(owner, house), {"table": table, "rows": each})

    def _frame(self, key: Key, content: Any) -> None:
        write_frame(self._file, self._name, self._number, key, content)
        self._tags.update(tag(key))
        self._number += 1


def _values(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)
