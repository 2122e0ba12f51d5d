"""Who lets the operator take over, and who has. Knows nothing of what is written."""

from __future__ import annotations

from sqlalchemy import select

from bot.store.care_tables import HandOver, Risk
from bot.store.part import Part
from bot.store.tables import Person


class NotAllowed(Exception):
    """The person has not agreed that an operator may take over."""


class TakenAlready(Exception):
    """The person is with another operator, or the operator with another person."""


class HandOvers(Part):
    """One operator for a person, one person for an operator."""

    async def hand_over(self, person_id: int) -> HandOver | None:
        """What the person agreed to; None when they were never asked."""
        async with self._sessions.read() as session:
            return await session.get(HandOver, person_id)

    async def allow_hand_over(self, person_id: int, *, allowed: bool) -> int | None:
        """Keep the person's wish; taking it back ends a hand-over and gives its operator."""
        async with self._sessions.write() as session:
            if await session.get(Person, person_id) is None:
                return None
            row = await session.get(HandOver, person_id)
            if row is None:
                row = HandOver(person_id=person_id, allowed=allowed, changed=self._clock())
                session.add(row)
                return None
            operator = row.operator_id
            row.allowed, row.changed = allowed, self._clock()
            if not allowed:
                row.operator_id = row.taken = None
            return None if allowed else operator

    async def take_over(self, person_id: int, operator_id: int) -> None:
        """The operator writes from now on; raises NotAllowed or TakenAlready."""
        busy = select(HandOver.person_id).where(HandOver.operator_id == operator_id)
        async with self._sessions.write() as session:
            row = await session.get(HandOver, person_id)
            if row is None or not row.allowed:
                raise NotAllowed
            if row.operator_id is not None or await session.scalar(busy) is not None:
                raise TakenAlready
            row.operator_id, row.taken = operator_id, self._clock()

    async def give_back(self, operator_id: int) -> int | None:
        """The program writes again; the person's id, None when the operator had nobody."""
        async with self._sessions.write() as session:
            mine = select(HandOver).where(HandOver.operator_id == operator_id)
            row = await session.scalar(mine)
            if row is None:
                return None
            row.operator_id = row.taken = None
            return row.person_id

    async def operator_of(self, person_id: int) -> int | None:
        """Who writes to the person instead of the program."""
        row = await self.hand_over(person_id)
        return row.operator_id if row is not None else None

    async def person_of(self, operator_id: int) -> int | None:
        """To whom the operator writes now."""
        async with self._sessions.read() as session:
            return await session.scalar(
                select(HandOver.person_id).where(HandOver.operator_id == operator_id)
            )

    async def people_at_risk(self, level: int = 2) -> list[tuple[int, int]]:
        """(person, level) of those who allow a hand-over and are at risk in their private chat."""
        private = Risk.chat_id == Risk.person_id
        wanted = (
            select(Risk.person_id, Risk.level)
            .join(HandOver, HandOver.person_id == Risk.person_id)
            .where(private, Risk.level >= level, HandOver.allowed)
            .order_by(Risk.level.desc(), Risk.person_id)
        )
        async with self._sessions.read() as session:
            return [(person, risk) for person, risk in (await session.execute(wanted)).all()]
