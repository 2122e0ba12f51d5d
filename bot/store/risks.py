"""The risk that is held for a person in a chat. Knows nothing of what a level means."""

from __future__ import annotations

from sqlalchemy import delete, literal, select

from bot.store.part import Part
from bot.store.tables import Base, Person, Risk
from bot.store.upsert import Asked, insert_into

_RISKS = Base.metadata.tables[Risk.__tablename__]
_PERSONS = Base.metadata.tables[Person.__tablename__]


class Risks(Part):
    """Levels, held until another is."""

    async def set_risk(self, person_id: int, chat_id: int, level: int) -> None:
        """Hold a level; nothing is held for somebody who was erased."""
        async with self._sessions.write(repeatable=True) as session:
            await hold(session, person_id, chat_id, level)


async def hold(asked: Asked, person_id: int, chat_id: int, level: int) -> None:
    """As Risks.set_risk, in a transaction that is under way."""
    here = _RISKS.c.person_id == person_id, _RISKS.c.chat_id == chat_id
    if level == 0:
        await asked.execute(delete(_RISKS).where(*here))
        return
    known = select(_PERSONS.c.id, literal(chat_id), literal(level)).where(
        _PERSONS.c.id == person_id
    )
    row = insert_into(asked, _RISKS).from_select(["person_id", "chat_id", "level"], known)
    await asked.execute(
        row.on_conflict_do_update(
            index_elements=["person_id", "chat_id"],
            set_={"level": row.excluded.level},
            where=_RISKS.c.level != row.excluded.level,
        )
    )
