"""Operators' messages to everybody, resumable: how far each came. Knows nothing of sending."""

from __future__ import annotations

from sqlalchemy import func, select, update

from bot.store.part import Part, storable
from bot.store.tables import Broadcast, Consent


class Broadcasts(Part):
    """At most one is under way; who agreed first is written to first."""

    async def begin_broadcast(self, text: str) -> int:
        """Keep a message for all who agreed; returns how many those are."""
        people = select(func.count(func.distinct(Consent.person_id)))
        async with self._sessions.write() as session:
            row = Broadcast(
                text=storable(text).replace("\0", ""), state="open", reached=-(2**62),
                sent=0, failed=0, created=self._clock(),
            )  # fmt: skip
            session.add(row)
            return await session.scalar(people) or 0

    async def open_broadcast(self) -> Broadcast | None:
        """The oldest that is under way."""
        wanted = select(Broadcast).where(Broadcast.state == "open").order_by(Broadcast.id).limit(1)
        async with self._sessions.read() as session:
            return await session.scalar(wanted)

    async def next_recipients(self, after: int, most: int) -> list[int]:
        """People who agreed, in the order of their ids, behind `after`."""
        wanted = select(Consent.person_id).distinct().where(Consent.person_id > after)
        async with self._sessions.read() as session:
            return list(await session.scalars(wanted.order_by(Consent.person_id).limit(most)))

    async def reached(self, broadcast_id: int, person_id: int, *, sent: bool) -> None:
        """Note that this person had it, or could not be reached."""
        column = Broadcast.sent if sent else Broadcast.failed
        async with self._sessions.write() as session:
            await session.execute(
                update(Broadcast)
                .where(Broadcast.id == broadcast_id)
                .values({"reached": person_id, column.key: column + 1})
            )

    async def end_broadcast(self, state: str) -> bool:
        """Close what is under way as `done` or `stopped`; False when nothing was."""
        async with self._sessions.write() as session:
            ended = update(Broadcast).where(Broadcast.state == "open").values(state=state)
            return bool(list(await session.scalars(ended.returning(Broadcast.id))))
