"""Each person's own key, wrapped by the master key.

A person's words are sealed under their key, so that whoever destroys the key
has destroyed the words, wherever copies of them lie. The key of nobody
(`HOUSE`) seals what belongs to no one. Knows nothing of what is sealed.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, inspect, select

from bot.clock import system_clock
from bot.sealing.master import Master, MasterKeyError, MasterSource
from bot.sealing.sealed import Place, Sealed, Unreadable, new_key, seal, unseal
from bot.store.tables import Conversation, PersonKey
from bot.store.upsert import Asked, new_rows

HOUSE = 0
KEPT = 4096
# Made once: building a statement costs as much as asking it.
_KEYS = select(PersonKey.person_id, PersonKey.wrapped, PersonKey.master)
_OWNED = PersonKey.person_id.in_(bindparam("owners", expanding=True))
_FOUND, _HELD = _KEYS.where(_OWNED), _KEYS.where(_OWNED).with_for_update(read=True)
_OF_TALK = _KEYS.join(Conversation, Conversation.person_id == PersonKey.person_id).where(
    Conversation.id == bindparam("conversation")
)


class KeyDamaged(Exception):
    """One person's key does not open with the master key: their words are lost, nobody else's."""


@dataclass(frozen=True, slots=True)
class Key:
    """One person's key, unwrapped; seals and opens at places."""

    owner: int
    secret: bytes

    def seal(self, place: Place, text: str) -> Sealed:
        """Text for one place."""
        return seal(self.secret, text.encode("utf-8"), place.bound(self.owner))

    def open(self, place: Place, sealed: bytes) -> str:
        """The text again; raises Unreadable."""
        return unseal(self.secret, sealed, place.bound(self.owner)).decode("utf-8")

    def seal_json(self, place: Place, value: Any) -> Sealed:
        """A JSON value; escapes hold what UTF-8 cannot."""
        return self.seal(place, json.dumps(value))

    def open_json(self, place: Place, sealed: bytes) -> Any:
        """The value again, {} for nothing; raises Unreadable."""
        try:
            return json.loads(self.open(place, sealed) or "{}")
        except ValueError:
            raise Unreadable from None


class Keyring:
    """Looks keys up where a session is open; makes those that are missing."""

    def __init__(self, source: MasterSource, master: Master) -> None:
        self._source, self.master = source, master
        # By the wrapped bytes: another process may have destroyed or wrapped a key anew.
        # What is derived from nobody's key, which stays the same for the database's life.
        self.derived: dict[str, bytes] = {}
        self._kept: OrderedDict[tuple[int, bytes], Key] = OrderedDict()
        # Two threads may look keys up at once.
        self._line = threading.Lock()

    async def find(self, session: Asked, owners: Iterable[int]) -> dict[int, Key]:
        """Keys that exist, by owner; those that cannot be unwrapped are left out."""
        found = {}
        for row in await session.execute(_FOUND, {"owners": list(set(owners))}):
            try:
                found[row.person_id] = self._unwrap(row)
            except Unreadable:
                continue
        return found

    async def one(self, session: Asked, owner: int) -> Key | None:
        """A person's key, if it exists."""
        return (await self.find(session, [owner])).get(owner)

    async def of_talk(self, session: Asked, conversation_id: int) -> Key | None:
        """The key of a conversation's person, if there is one that opens."""
        row = (await session.execute(_OF_TALK, {"conversation": conversation_id})).first()
        try:
            return None if row is None else self._unwrap(row)
        except Unreadable:
            return None

    async def make(self, session: Asked, owners: Iterable[int]) -> dict[int, Key]:
        """The owners' keys in a session that writes, made where there are none.

        Holds each key's row until the end of the transaction, so that nobody is
        erased between the sealing and the storing.
        """
        wanted = sorted(set(owners))
        rows = (await session.execute(_HELD, {"owners": wanted})).all()
        missing = set(wanted) - {row.person_id for row in rows}
        if missing:
            await self._fresh_master(session)
            await session.execute(
                new_rows(session, PersonKey), [self._new_row(owner) for owner in sorted(missing)]
            )
            rows = (await session.execute(_HELD, {"owners": wanted})).all()
        return {row.person_id: self._unwrap_or_say(row) for row in rows}

    async def make_one(self, session: Asked, owner: int) -> Key:
        """One owner's key, made if there is none."""
        return (await self.make(session, [owner]))[owner]

    async def hold(self, session: Asked, owner: int) -> None:
        """Wait for whoever seals for this owner, and let nobody begin until the end."""
        held = select(PersonKey.person_id).where(PersonKey.person_id == owner).with_for_update()
        await session.execute(held)

    async def destroy(self, session: Asked, owner: int) -> None:
        """Destroy the owner's key: what it sealed can never be read again."""
        await session.execute(delete(PersonKey).where(PersonKey.person_id == owner))
        with self._line:
            for kept in [each for each in self._kept if each[0] == owner]:
                del self._kept[kept]

    async def _fresh_master(self, session: Asked) -> None:
        # A key wrapped under a master key that was retired meanwhile would be lost.
        row = (await session.execute(_HELD, {"owners": [HOUSE]})).first()
        if row is not None and row.master != self.master.newest:
            self.master = self._source.load(create=False)
            if row.master != self.master.newest:
                raise MasterKeyError(
                    "The master key was rotated while Lanner ran: give it the new key and restart."
                )

    def _new_row(self, owner: int) -> dict[str, Any]:
        return {
            "person_id": owner,
            "wrapped": self.master.wrap(new_key(), owner),
            "master": self.master.newest,
            "created": system_clock(),
        }

    def _unwrap_or_say(self, row: Row[int, Sealed, str]) -> Key:
        try:
            return self._unwrap(row)
        except Unreadable:
            sentence = (
                "A key in the database does not open with the master key: "
                "put the right master key back, or restore a backup."
            )
            raise (MasterKeyError if row.person_id == HOUSE else KeyDamaged)(sentence) from None

    def _unwrap(self, row: Row[int, Sealed, str]) -> Key:
        with self._line:
            return self._known(row)

    def _known(self, row: Row[int, Sealed, str]) -> Key:
        known = self._kept.get((row.person_id, row.wrapped))
        if known is None:
            if row.master not in self.master.names:
                self.master = self._source.load(create=False)
            secret = self.master.unwrap(row.master, row.wrapped, row.person_id)
            known = Key(row.person_id, secret)
            self._kept[row.person_id, row.wrapped] = known
        self._kept.move_to_end((row.person_id, row.wrapped))
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return known


def masters_in_use(connection: Connection) -> frozenset[str]:
    """Names of the master keys that wrapped this database's keys."""
    if not inspect(connection).has_table(PersonKey.__tablename__):
        return frozenset()
    return frozenset(connection.scalars(select(PersonKey.master).distinct()))
