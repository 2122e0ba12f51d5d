"""Persons, their settings and what they agreed to. Does not judge a setting's value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.part import Part
from bot.store.tables import Consent, Person
from bot.store.upsert import new_rows


class People(Part):
    """Who talks with the bot."""

    async def person(self, person_id: int, language: str = "en") -> Person:
        """The person, made now if new."""
        wanted = select(Person).where(Person.id == person_id)
        async with self._sessions.read() as session:
            known = await session.scalar(wanted)
        if known is not None:
            return known
        async with self._sessions.write() as session:
            await make_person(session, person_id, self._clock(), language)
            return (await session.scalars(wanted)).one()

    async def known_person(self, person_id: int) -> Person | None:
        """The person, if there is one."""
        async with self._sessions.read() as session:
            return await session.get(Person, person_id)

    async def set_person(self, person_id: int, **values: Any) -> None:
        """Change settings of one person."""
        async with self._sessions.write() as session:
            await session.execute(update(Person).where(Person.id == person_id).values(**values))

    async def consent(self, person_id: int, version: str) -> None:
        """Record that the person agreed to this version of the text."""
        async with self._sessions.write() as session:
            session.add(Consent(person_id=person_id, text_version=version, given=self._clock()))

    async def has_consented(self, person_id: int, version: str) -> bool:
        """Whether the person agreed to this version."""
        wanted = select(Consent.id).where(
            Consent.person_id == person_id, Consent.text_version == version
        )
        async with self._sessions.read() as session:
            return (await session.scalar(wanted.limit(1))) is not None

    async def withdraw_consent(self, person_id: int) -> None:
        """Forget what the person agreed to; they are asked again before the next turn."""
        async with self._sessions.write() as session:
            await session.execute(delete(Consent).where(Consent.person_id == person_id))


async def make_person(
    session: AsyncSession, person_id: int, created: datetime, language: str = "en"
) -> None:
    """The person is there from now on, as they were if they were."""
    row = {"id": person_id, "language": language, "created": created}
    await session.execute(new_rows(session, Person).values(**row))
