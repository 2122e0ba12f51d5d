"""Daily check-ins that people asked for. Knows when one was made, not when one is due."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select, update

from bot.store.part import Part
from bot.store.tables import CheckIn, Person
from bot.store.upsert import new_rows


class CheckIns(Part):
    """At most one for each person's local date, whatever restarts."""

    async def people_to_check_in(self) -> list[Person]:
        """People who want a check-in and have a time zone."""
        wanted = select(Person).where(Person.check_in_at.is_not(None), Person.timezone.is_not(None))
        async with self._sessions.read() as session:
            return list(await session.scalars(wanted.order_by(Person.id)))

    async def claim_check_in(self, person_id: int, day: date, due: datetime) -> int | None:
        """Take the day's check-in before it is sent; None when it was taken, or the person is gone.

        A crash between this and the sending loses a check-in and never doubles one.
        """
        row = {
            "person_id": person_id,
            "local_date": day,
            "due": due,
            "state": "claimed",
            "created": self._clock(),
        }
        async with self._sessions.write() as session:
            if await session.get(Person, person_id) is None:
                return None
            made = new_rows(session, CheckIn).values(**row).returning(CheckIn.id)
            claimed: int | None = await session.scalar(made)
            return claimed

    async def end_check_in(self, check_in_id: int, state: str) -> None:
        """Note whether it was `sent` or `failed`."""
        async with self._sessions.write() as session:
            await session.execute(
                update(CheckIn).where(CheckIn.id == check_in_id).values(state=state)
            )
