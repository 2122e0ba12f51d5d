"""When people were told that this is a program. Does not know when they must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bot.store.care_tables import Disclosure
from bot.store.part import Part
from bot.store.tables import Person


@dataclass(frozen=True, slots=True)
class Talked:
    """When somebody was told, when they last spoke, and for how long they have talked since."""

    told: datetime
    last_said: datetime
    talked_s: float


class Disclosures(Part):
    """One row for a person."""

    async def note_talk(
        self, person_id: int, change: Callable[[Talked | None], Talked]
    ) -> Person | None:
        """Keep what `change` makes of what is known; the person.

        Nothing is kept for somebody who was erased. `change` is given None for somebody who has
        not talked yet.
        """
        async with self._sessions.write(repeatable=True) as session:
            person = await session.get(Person, person_id)
            if person is None:
                return None
            row = await session.get(Disclosure, person_id)
            known = Talked(row.told, row.last_said, row.talked_s) if row is not None else None
            now = change(known)
            if row is None:
                row = Disclosure(person_id=person_id)
                session.add(row)
            row.told, row.last_said, row.talked_s = now.told, now.last_said, now.talked_s
            return person
