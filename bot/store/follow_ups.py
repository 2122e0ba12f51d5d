"""Follow-ups that are owed to people. Knows when one is due, not what it says."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Update, select, update

from bot.store.care_tables import FollowUp
from bot.store.part import Part
from bot.store.tables import Person

_OPEN = ("waiting", "claimed")


class FollowUps(Part):
    """At most one open for a person; a newer one takes the place of the older."""

    async def owe_follow_up(
        self, person_id: int, chat_id: int, level: int, step: int, due: datetime
    ) -> None:
        """Ask the person again at `due`, instead of what was owed before."""
        async with self._sessions.write() as session:
            if await session.get(Person, person_id) is None:
                return
            await session.execute(_close(person_id))
            session.add(
                FollowUp(
                    person_id=person_id, chat_id=chat_id, level=level, step=step, due=due,
                    state="waiting", created=self._clock(),
                )
            )  # fmt: skip

    async def claim_follow_ups(self) -> list[FollowUp]:
        """Those that are due, each given out once until it is ended."""
        wanted = select(FollowUp).where(FollowUp.state == "waiting", FollowUp.due <= self._clock())
        async with self._sessions.write() as session:
            found = list(await session.scalars(wanted.order_by(FollowUp.due)))
            for each in found:
                each.state = "claimed"
            return found

    async def end_follow_up(self, number: int, state: str) -> None:
        """It was `sent`, or `missed`; `waiting` gives it out again."""
        async with self._sessions.write() as session:
            await session.execute(update(FollowUp).where(FollowUp.id == number).values(state=state))

    async def postpone_follow_up(self, number: int, due: datetime) -> None:
        """It could not be sent now; unless the person is safe meanwhile, it is due again then."""
        async with self._sessions.write() as session:
            later = update(FollowUp).where(FollowUp.id == number, FollowUp.state == "claimed")
            await session.execute(later.values(state="waiting", due=due))

    async def reopen_follow_ups(self) -> None:
        """After a crash: one that was claimed and perhaps not sent is asked again.

        To be asked twice is better than never.
        """
        async with self._sessions.write() as session:
            claimed = update(FollowUp).where(FollowUp.state == "claimed")
            await session.execute(claimed.values(state="waiting"))

    async def quiet_follow_ups(self, person_id: int) -> None:
        """The person is safe: nothing more is owed."""
        async with self._sessions.write() as session:
            await session.execute(_close(person_id))

    async def open_follow_up(self, person_id: int) -> FollowUp | None:
        """What is owed to the person, if anything."""
        wanted = select(FollowUp).where(FollowUp.person_id == person_id, FollowUp.state.in_(_OPEN))
        async with self._sessions.read() as session:
            return await session.scalar(wanted.limit(1))


def _close(person_id: int) -> Update:
    mine = update(FollowUp).where(FollowUp.person_id == person_id, FollowUp.state.in_(_OPEN))
    return mine.values(state="quiet")
