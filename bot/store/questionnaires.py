"""Questionnaires that people fill in: one open for a person, and those that are done.

Knows whose a sitting is, and touches nobody else's; knows nothing of what is
asked, of scores or of what counts as an answer.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.sealing.sealed import NOTHING
from bot.store.keyring import Key
from bot.store.opening import open_body
from bot.store.part import Part
from bot.store.people import make_person
from bot.store.tables import Sitting

# How long one may be filled in, and how long an empty row then says that it has run out.
SITTING, RUN_OUT = timedelta(hours=24), timedelta(days=7)
# Made once: each message in a private chat asks it.
_NEWEST = (
    select(Sitting)
    .where(Sitting.person_id == bindparam("person"))
    .order_by(Sitting.id.desc())
    .limit(1)
)
log = logging.getLogger(__name__)


class Questionnaires(Part):
    """What is kept of them."""

    async def begin_sitting(self, person_id: int, answers: dict[str, Any]) -> int:
        """Begin one, in place of what was open; returns its number."""
        mine = delete(Sitting).where(Sitting.person_id == person_id, Sitting.state == "open")
        async with self._sessions.write() as session:
            await make_person(session, person_id, self._clock())
            key = await self._keys.make_one(session, person_id)
            await session.execute(mine)
            sitting = Sitting(
                person_id=person_id, state="open", sealed=NOTHING, begun=self._clock()
            )
            session.add(sitting)
            # The answers are sealed to the row's number, which the database gives.
            await session.flush()
            sitting.sealed = key.seal_json(sitting.place, answers)
            return sitting.id

    async def newest_sitting(self, person_id: int) -> Sitting | None:
        """The one that was begun last: if any is open, it is this."""
        async with self._sessions.read() as session:
            found = await session.scalar(_NEWEST, {"person": person_id})
            if found is not None:
                open_sitting(found, await self._keys.one(session, person_id))
            return found

    async def sitting(self, person_id: int, number: int) -> Sitting | None:
        """The one with this number; None when it is not there, or not the person's."""
        async with self._sessions.read() as session:
            found = await _own(session, person_id, number)
            if found is not None:
                open_sitting(found, await self._keys.one(session, person_id))
            return found

    async def keep_answers(
        self, person_id: int, number: int, answers: dict[str, Any], *, done: bool = False
    ) -> bool:
        """Keep what was answered so far, or to the end; False when it is not there any more."""
        async with self._sessions.write() as session:
            found = await _own(session, person_id, number)
            if found is None or found.state != "open":
                return False
            key = await self._keys.make_one(session, person_id)
            found.sealed = key.seal_json(found.place, answers)
            found.state = "done" if done else "open"
            return True

    async def drop_sitting(self, person_id: int, number: int) -> bool:
        """Delete an open one with its answers; False when there was none."""
        async with self._sessions.write() as session:
            found = await _own(session, person_id, number)
            if found is None or found.state != "open":
                return False
            await session.delete(found)
            return True

    async def done_sittings(self, person_id: int, most: int) -> list[Sitting]:
        """Those that were answered to their end, the newest first."""
        wanted = select(Sitting).where(Sitting.person_id == person_id, Sitting.state == "done")
        async with self._sessions.read() as session:
            rows = list(await session.scalars(wanted.order_by(Sitting.id.desc()).limit(most)))
            key = await self._keys.one(session, person_id)
            for row in rows:
                open_sitting(row, key)
            return rows


def open_sitting(row: Sitting, key: Key | None) -> None:
    """Open the row's answers with its person's key; {} when they cannot be read."""
    if not open_body(row, key):
        log.error("A questionnaire cannot be read: row %s", row.id)


async def _own(session: AsyncSession, person: int, number: int) -> Sitting | None:
    found = await session.get(Sitting, number)
    return found if found is not None and found.person_id == person else None
