"""Restoring a backup into an empty database, of either kind, without those who were erased."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Integer, MetaData, Table, func, insert, inspect, select, text

from bot.backups.frames import BackupError, open_frame, read_frames, read_name, tag
from bot.backups.keys_copy import read_keys
from bot.backups.owners import TABLES
from bot.sealing.master import Master
from bot.sealing.sealed import Unreadable
from bot.store.keyring import Key
from bot.store.migrating import Sealer, migrate
from bot.store.tables import PersonKey


@dataclass
class Restored:
    """What a restore brought back, and how many frames belong to people who were erased."""

    rows: dict[str, int] = field(default_factory=dict)
    erased: int = 0


class Restoring:
    """Called with a connection to a database without tables; raises BackupError."""

    def __init__(self, path: Path, keys_path: Path, master: Master) -> None:
        self._path, self._master = path, master
        self._rows = read_keys(keys_path, master)
        self._keys = dict(self._unwrapped())
        self.restored = Restored()
        # Of the frames of the erased only the tags can be checked, and they are.
        self._tags, self._tags_before = sha256(), ""

    def __call__(self, connection: Connection) -> bool:
        """Make the tables of the backup's revision, fill them, and bring them up to date."""
        _must_be_empty(connection)
        with self._path.open("rb") as file:
            frames = self._frames(file)
            first = next(frames, {})
            if not isinstance(first, dict) or "revision" not in first:
                raise BackupError("The backup is damaged: use another one.")
            migrate(connection, first["revision"])
            tables = MetaData()
            tables.reflect(connection)
            self._fill(connection, tables.tables[PersonKey.__tablename__], self._rows)
            last = first
            for last in frames:
                if "table" in last:
                    self._fill(connection, tables.tables[last["table"]], last["rows"])
            if last.get("tags") != self._tags_before:
                raise BackupError("The backup is damaged or was cut off: use another one.")
        _continue_numbers(connection)
        migrate(connection, seal=Sealer(self._master))
        return True

    def _unwrapped(self) -> Iterator[tuple[bytes, Key]]:
        for row in self._rows:
            owner = row["person_id"]
            try:
                key = Key(owner, self._master.unwrap(row["master"], row["wrapped"], owner))
            except Unreadable:
                raise BackupError(
                    "A key in the keys' copy does not open with the master key: "
                    "put the right key back."
                ) from None
            yield tag(key), key

    def _frames(self, file: IO[bytes]) -> Iterator[dict[str, Any]]:
        """Contents of the frames that can be read; the others are of erased people."""
        name = read_name(file)
        for number, owner, sealed in read_frames(file):
            self._tags_before = self._tags.hexdigest()
            self._tags.update(owner)
            key = self._keys.get(owner)
            if key is None and number == 0:
                raise BackupError("The keys' copy is of another database than the backup.")
            if key is None:
                self.restored.erased += 1
                continue
            try:
                yield open_frame(key, name, number, sealed)
            except Unreadable:
                raise BackupError("The backup is damaged: use another one.") from None

    def _fill(self, connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            plain = [{name: _naive(value) for name, value in row.items()} for row in rows]
            connection.execute(insert(table), plain)
            self.restored.rows[table.name] = self.restored.rows.get(table.name, 0) + len(rows)


def _naive(value: Any) -> Any:
    # Times are kept in UTC without their zone.
    return value.replace(tzinfo=None) if getattr(value, "tzinfo", None) else value


def _must_be_empty(connection: Connection) -> None:
    if inspect(connection).get_table_names():
        raise BackupError(
            "The database has tables already: move it away, or name another one by "
            "LANNER_DATA_DIR or LANNER_DATABASE_URL."
        )


def _continue_numbers(connection: Connection) -> None:
    """PostgreSQL's sequences go on behind the highest number; SQLite's do by themselves."""
    if connection.dialect.name != "postgresql":
        return
    for table in TABLES:
        key = table.primary_key.columns.values()[0]
        sequence = f"pg_get_serial_sequence('{table.name}', '{key.name}')"
        if isinstance(key.type, Integer) and connection.scalar(text(f"SELECT {sequence}")):
            top = connection.scalar(select(func.max(key)))
            if top is not None:
                connection.execute(text(f"SELECT setval({sequence}, {int(top)})"))
