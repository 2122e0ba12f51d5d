"""When people were told that this is a program. Does not know when they must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import bindparam, select

from bot.store.care_tables import Disclosure
from bot.store.part import Part
from bot.store.tables import Person
from bot.store.upsert import insert_into


@dataclass(frozen=True, slots=True)
class Talked:
    """When somebody was told, when they last spoke, and for how long they have talked since."""

    told: datetime
    last_said: datetime
    talked_s: float


# Made once: each turn asks it.
_KNOWN = (
    select(Person.language, Disclosure.told, Disclosure.last_said, Disclosure.talked_s)
    .outerjoin(Disclosure, Disclosure.person_id == Person.id)
    .where(Person.id == bindparam("person"))
)


class Disclosures(Part):
    """One row for a person."""

    async def note_talk(
        self, person_id: int, change: Callable[[Talked | None], Talked]
    ) -> str | None:
        """Keep what `change` makes of what is known; the person's language.

        Nothing is kept for somebody who was erased. `change` is given None for somebody who has
        not talked yet.
        """
        async with self._sessions.light_write(repeatable=True) as connection:
            row = (await connection.execute(_KNOWN, {"person": person_id})).first()
            if row is None:
                return None
            known = None if row.told is None else Talked(row.told, row.last_said, row.talked_s)
            now = asdict(change(known))
            made = insert_into(connection, Disclosure).values(person_id=person_id, **now)
            await connection.execute(
                made.on_conflict_do_update(index_elements=["person_id"], set_=now)
            )
            language: str = row.language
            return language
