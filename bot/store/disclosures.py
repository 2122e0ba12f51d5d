"""When people were told that this is a program. Does not know when they must be."""

from __future__ import annotations

from datetime import datetime

from bot.store.care_tables import Disclosure
from bot.store.part import Part
from bot.store.tables import Person


class Disclosures(Part):
    """One row for a person."""

    async def disclosure(self, person_id: int) -> Disclosure | None:
        """What is known; None for somebody who has not talked yet."""
        async with self._sessions.read() as session:
            return await session.get(Disclosure, person_id)

    async def note_talk(
        self, person_id: int, *, told: datetime, last_said: datetime, talked_s: float
    ) -> None:
        """Keep the times; nothing is kept for a person who was erased."""
        async with self._sessions.write(repeatable=True) as session:
            if await session.get(Person, person_id) is None:
                return
            row = await session.get(Disclosure, person_id)
            if row is None:
                row = Disclosure(person_id=person_id)
                session.add(row)
            row.told, row.last_said, row.talked_s = told, last_said, talked_s
