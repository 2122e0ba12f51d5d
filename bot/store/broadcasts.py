"""Operators' messages to everybody, resumable: how far each came. Knows nothing of sending."""

from __future__ import annotations

from sqlalchemy import func, select, update

from bot.sealing.sealed import NOTHING
from bot.store.keyring import HOUSE
from bot.store.opening import opened
from bot.store.part import Part, storable
from bot.store.tables import Broadcast, Consent


class Broadcasts(Part):
    """At most one is under way; who agreed first is written to first."""

    async def begin_broadcast(self, text: str) -> int:
        """Keep a message for all who agreed; returns how many those are."""
        people = select(func.count(func.distinct(Consent.person_id)))
        async with self._sessions.write() as session:
            key = await self._keys.make_one(session, HOUSE)
            row = Broadcast(
                sealed=NOTHING, state="open", reached=-(2**62), sent=0, failed=0,
                created=self._clock(),
            )  # fmt: skip
            session.add(row)
            # The words are sealed to the row's number, which the database gives.
            await session.flush()
            row.sealed = key.seal(row.place, storable(text).replace("\0", ""))
            return await session.scalar(people) or 0

    async def open_broadcast(self) -> Broadcast | None:
        """The oldest that is under way. One that is damaged on disk is closed as `damaged`."""
        wanted = select(Broadcast).where(Broadcast.state == "open").order_by(Broadcast.id)
        async with self._sessions.read() as session:
            rows = list(await session.scalars(wanted))
            readable = opened(rows, await self._keys.one(session, HOUSE) if rows else None)
        for row in rows:
            if row not in readable:
                await self._over("damaged", row.id)
        return readable[0] if readable else None

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
        return await self._over(state)

    async def _over(self, state: str, *only: int) -> bool:
        ended = update(Broadcast).where(Broadcast.state == "open")
        if only:
            ended = ended.where(Broadcast.id.in_(only))
        emptied = ended.values(state=state, sealed=NOTHING)
        async with self._sessions.write() as session:
            return bool(list(await session.scalars(emptied.returning(Broadcast.id))))
