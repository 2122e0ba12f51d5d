"""Updates that were received: open, done or quarantined.

Knows where an update carries its chat and its person; knows nothing else of
what updates mean.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.sqlite import insert

from bot.store.part import Part
from bot.store.tables import InboxUpdate

# SQLite takes no more than 32,766 values in one statement.
ROWS_AT_ONCE = 500


class Inbox(Part):
    """Every update once."""

    async def receive(self, updates: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep a batch in one transaction; returns those that were not known already."""
        if not updates:
            return []
        fresh: set[int] = set()
        made = insert(InboxUpdate).on_conflict_do_nothing().returning(InboxUpdate.update_id)
        async with self._sessions.write() as session:
            for at in range(0, len(updates), ROWS_AT_ONCE):
                rows = [_row(u, self._clock()) for u in updates[at : at + ROWS_AT_ONCE]]
                fresh.update(await session.scalars(made, rows))
        once = {each["update_id"]: each for each in updates}
        return [each for number, each in once.items() if number in fresh]

    async def open_updates(self) -> list[dict[str, Any]]:
        """Updates that were received and not finished, oldest first."""
        wanted = select(InboxUpdate.body).where(InboxUpdate.state == "open")
        async with self._sessions.read() as session:
            return list(await session.scalars(wanted.order_by(InboxUpdate.update_id)))

    async def begin_update(self, update_id: int) -> int:
        """Count an attempt before it is made; returns how many there were.

        An update that ends the process each time is known by this number.
        """
        counted = (
            update(InboxUpdate)
            .where(InboxUpdate.update_id == update_id)
            .values(attempts=InboxUpdate.attempts + 1)
            .returning(InboxUpdate.attempts)
        )
        async with self._sessions.write() as session:
            return await session.scalar(counted) or 0

    async def park_update(self, update_id: int) -> None:
        """The attempt was ended by a stop, not by the update: it does not count."""
        async with self._sessions.write() as session:
            await session.execute(
                update(InboxUpdate)
                .where(InboxUpdate.update_id == update_id, InboxUpdate.attempts > 0)
                .values(attempts=InboxUpdate.attempts - 1)
            )

    async def finish_update(self, update_id: int) -> None:
        """The update's turn is over: forget what it said, remember that it came.

        One that was quarantined stays so.
        """
        await self._end(update_id, state="done", body={}, chat_id=None, person_id=None)

    async def quarantine_update(self, update_id: int, error: str) -> None:
        """Put an update aside that cannot be handled; `error` is an exception's name."""
        await self._end(update_id, state="quarantined", error=error)

    async def quarantined(self) -> list[InboxUpdate]:
        """Updates that were put aside, oldest first."""
        wanted = select(InboxUpdate).where(InboxUpdate.state == "quarantined")
        async with self._sessions.read() as session:
            return list(await session.scalars(wanted.order_by(InboxUpdate.update_id)))

    async def quarantined_count(self) -> int:
        """How many updates were put aside."""
        wanted = select(func.count(InboxUpdate.update_id)).where(InboxUpdate.state == "quarantined")
        async with self._sessions.read() as session:
            return await session.scalar(wanted) or 0

    async def _end(self, update_id: int, **values: Any) -> None:
        ended = update(InboxUpdate).where(
            InboxUpdate.update_id == update_id, InboxUpdate.state == "open"
        )
        async with self._sessions.write() as session:
            await session.execute(ended.values(**values))


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
    return found if isinstance(found, int) else None


def _row(body: dict[str, Any], now: datetime) -> dict[str, Any]:
    chat, person = chat_and_person(body)
    return {
        "update_id": body["update_id"],
        "body": body,
        "attempts": 0,
        "created": now,
        "chat_id": chat,
        "person_id": person,
        "state": "open",
    }
