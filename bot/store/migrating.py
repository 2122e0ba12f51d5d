"""Bringing a database to the newest revision, with the keys that a revision may seal under.

Knows Alembic and the keys' table; knows nothing of connections or files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, select

from bot.clock import system_clock
from bot.sealing.master import Master, MasterKeyError, MasterSource
from bot.sealing.sealed import Place, Sealed, new_key
from bot.store.keyring import Key, masters_in_use
from bot.store.tables import PersonKey

Seal = Callable[[Connection, int, tuple[str, str, str | int], str], Sealed]


def migrate(connection: Connection, revision: str = "head", seal: Seal | None = None) -> None:
    """Run Alembic over an open connection; `seal` is for rows from before words were sealed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    config.attributes["connection"] = connection
    config.attributes["seal"] = seal
    command.upgrade(config, revision)


class Opening:
    """One opening of a database: the master key first, then the revisions."""

    def __init__(self, source: MasterSource) -> None:
        self._source = source
        self.master: Master

    def __call__(self, connection: Connection) -> bool:
        """Whether a revision changed anything; raises MasterKeyError."""
        used = masters_in_use(connection)
        self.master = self._source.load(create=not used)
        if used - self.master.names:
            raise MasterKeyError(
                "The master key is not the one that this database was sealed with: "
                "put the right key back (LANNER_MASTER_KEY or LANNER_MASTER_KEY_FILE)."
            )
        before = _revision(connection)
        migrate(connection, seal=Sealer(self.master))
        return before is not None and before != _revision(connection)


class Sealer:
    """Seals the rows of a database that had them in the clear."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._keys: dict[int, Key] = {}

    def __call__(
        self, connection: Connection, owner: int, place: tuple[str, str, str | int], words: str
    ) -> Sealed:
        """Words of one owner for one place; the owner's key is made if it is new."""
        if owner not in self._keys:
            self._keys[owner] = self._key(connection, owner)
        return self._keys[owner].seal(Place(*place), words)

    def _key(self, connection: Connection, owner: int) -> Key:
        kept = connection.execute(
            select(PersonKey.wrapped, PersonKey.master).where(PersonKey.person_id == owner)
        ).first()
        if kept is not None:
            return Key(owner, self._master.unwrap(kept.master, kept.wrapped, owner))
        key = Key(owner, new_key())
        row = {
            "person_id": owner,
            "wrapped": self._master.wrap(key.secret, owner),
            "master": self._master.newest,
            "created": system_clock(),
        }
        connection.execute(insert(PersonKey).values(**row))
        return key


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
