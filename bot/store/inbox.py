"""Updates that were received: open, done or quarantined.

Knows where an update carries its chat and its person; knows nothing else of
what updates mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Update, bindparam, func, select, update

from bot.sealing.sealed import NOTHING, Unreadable
from bot.store.inline import outside
from bot.store.keyring import Key
from bot.store.opening import open_body
from bot.store.part import Part
from bot.store.tables import Base, InboxChat, InboxUpdate
from bot.store.upsert import new_rows

# SQLite takes no more than 32,766 values in one statement.
ROWS_AT_ONCE = 500
# Made once, and of the table itself: what the mapped class adds costs more than the statement.
_UPDATES = Base.metadata.tables[InboxUpdate.__tablename__]
_ONE = update(_UPDATES).where(_UPDATES.c.update_id == bindparam("number"))
_COUNTED = _ONE.values(attempts=_UPDATES.c.attempts + 1).returning(_UPDATES.c.attempts)
_COUNTED_FEW = _COUNTED.where(_UPDATES.c.attempts < bindparam("few"))
_ENDED = _ONE.where(_UPDATES.c.state == "open")
_DONE = _ENDED.values(state="done", body=NOTHING, chat_id=None, person_id=None)
_ASIDE = _ENDED.values(state="quarantined")
_CHATS = Base.metadata.tables[InboxChat.__tablename__]


class Inbox(Part):
    """Every update once."""

    async def receive(self, updates: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep a batch in one transaction; returns those that were not known already."""
        if not updates:
            return []
        fresh: set[int] = set()
        async with self._sessions.light_write() as connection:
            made = new_rows(connection, _UPDATES).returning(_UPDATES.c.update_id)
            for at in range(0, len(updates), ROWS_AT_ONCE):
                rows = [self._row(u) for u in updates[at : at + ROWS_AT_ONCE]]
                keys = await self._keys.make(connection, {row.owner for row, _ in rows})
                sealed = [_values(row, keys[row.owner], body) for row, body in rows]
                fresh.update(await connection.scalars(made, sealed))
                # In order: two processes that insert the same chats must not wait for each other.
                chats = sorted({row.chat_id or 0 for row, _ in rows})
                known = new_rows(connection, _CHATS)
                await connection.execute(known, [{"chat_id": chat} for chat in chats])
        once = {each["update_id"]: each for each in updates}
        return [each for number, each in once.items() if number in fresh]

    async def open_updates(self) -> list[dict[str, Any]]:
        """Updates that were received and not finished, oldest first.

        One that is damaged on disk is quarantined: Telegram does not send it again.
        """
        found = await self._in_state("open")
        return await self._readable(found)

    async def _readable(self, rows: Sequence[InboxUpdate]) -> list[dict[str, Any]]:
        for row in rows:
            if not row.body:
                await self.quarantine_update(row.update_id, Unreadable.__name__)
                if self.when_damaged is not None:
                    await outside(partial(self.when_damaged, row.update_id, row.chat_id))
        return [row.body for row in rows if row.body]

    async def begin_update(self, update_id: int) -> int:
        """Count an attempt before it is made; returns how many there were.

        An update that ends the process each time is known by this number.
        """
        async with self._sessions.light_write(repeatable=True) as connection:
            return await connection.scalar(_COUNTED, {"number": update_id}) or 0

    async def begin_unsuspected(self, update_id: int, few: int) -> int | None:
        """As `begin_update`; None, and nothing counted, after this many attempts."""
        async with self._sessions.light_write(repeatable=True) as connection:
            found: int | None = await connection.scalar(
                _COUNTED_FEW, {"number": update_id, "few": few}
            )
            return found

    async def park_update(self, update_id: int) -> None:
        """The attempt was ended by a stop, not by the update: it does not count."""
        async with self._sessions.write(repeatable=True) as session:
            await session.execute(
                update(InboxUpdate)
                .where(InboxUpdate.update_id == update_id, InboxUpdate.attempts > 0)
                .values(attempts=InboxUpdate.attempts - 1)
            )

    async def finish_update(self, update_id: int) -> None:
        """The update's turn is over: forget what it said, remember that it came.

        One that was quarantined stays so.
        """
        await self._end(update_id, _DONE)

    async def quarantine_update(self, update_id: int, error: str) -> None:
        """Put an update aside that cannot be handled; `error` is an exception's name."""
        await self._end(update_id, _ASIDE, error=error)

    async def quarantined(self) -> list[InboxUpdate]:
        """Updates that were put aside, oldest first."""
        return await self._in_state("quarantined")

    async def _in_state(self, state: str) -> list[InboxUpdate]:
        """Rows with their bodies, {} where one cannot be read."""
        wanted = select(InboxUpdate).where(InboxUpdate.state == state)
        async with self._sessions.read() as session:
            rows = list(await session.scalars(wanted.order_by(InboxUpdate.update_id)))
            keys = await self._keys.find(session, {row.owner for row in rows})
        for row in rows:
            open_body(row, keys.get(row.owner))
        return rows

    def _row(self, body: dict[str, Any]) -> tuple[InboxUpdate, dict[str, Any]]:
        chat, person = chat_and_person(body)
        created = self._clock()
        number = body["update_id"]
        row = InboxUpdate(update_id=number, chat_id=chat, person_id=person, created=created)
        return row, body

    async def quarantined_count(self) -> int:
        """How many updates were put aside."""
        wanted = select(func.count(InboxUpdate.update_id)).where(InboxUpdate.state == "quarantined")
        async with self._sessions.read() as session:
            return await session.scalar(wanted) or 0

    async def _end(self, update_id: int, ending: Update, **values: Any) -> None:
        async with self._sessions.light_write(repeatable=True) as connection:
            await connection.execute(ending, {"number": update_id, **values})


def chat_and_person(update: dict[str, Any]) -> tuple[int | None, int | None]:
    """Ids of the chat and the sender; None where an update has none."""
    for kind in update.values():
        if isinstance(kind, dict):
            holder = kind if "chat" in kind else kind.get("message")
            return _id(holder, "chat"), _id(kind, "from")
    return None, None


def _id(holder: Any, name: str) -> int | None:
    inner = holder.get(name) if isinstance(holder, dict) else None
    found = inner.get("id") if isinstance(inner, dict) else None
    known = isinstance(found, int) and not isinstance(found, bool) and abs(found) < 2**63
    return found if known else None


def _values(row: InboxUpdate, key: Key, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "update_id": row.update_id,
        "body": key.seal_json(row.place, body),
        "attempts": 0,
        "created": row.created,
        "chat_id": row.chat_id,
        "person_id": row.person_id,
        "state": "open",
    }
