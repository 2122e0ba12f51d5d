"""Conversations: which one is open, and its epoch.

Knows nothing of what was said.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.part import Part
from bot.store.people import make_person
from bot.store.tables import Conversation, Person

# Made once: building a statement costs as much as asking it.
_HELD = select(Conversation).where(Conversation.id == bindparam("talk")).with_for_update()
_OPEN = (
    select(Conversation)
    .where(Conversation.chat_id == bindparam("chat"), Conversation.person_id == bindparam("person"))
    # The clock may go back; what was opened last is then the newest id.
    .order_by(Conversation.opened.desc(), Conversation.id.desc())
    .limit(1)
)
_OPEN_HELD = _OPEN.with_for_update()


class Superseded(Exception):
    """The conversation was restarted or erased meanwhile: what was to be stored is not wanted."""


class Conversations(Part):
    """Threads of talk."""

    async def conversation(
        self, person_id: int, chat_id: int, *, new: bool = False
    ) -> Conversation:
        """The person's open conversation in this chat; `new` ends it and begins another."""
        if not new:
            async with self._sessions.read() as session:
                found = await session.scalar(_OPEN, {"person": person_id, "chat": chat_id})
            if found is not None:
                return found
        async with self._sessions.write() as session:
            return await open_conversation(session, person_id, chat_id, self._clock(), new=new)

    async def epoch(self, conversation_id: int) -> int | None:
        """The conversation's epoch now; None when it was erased."""
        async with self._sessions.read() as session:
            return await session.scalar(
                select(Conversation.epoch).where(Conversation.id == conversation_id)
            )

    async def bump_epoch(self, conversation_id: int) -> int | None:
        """What was begun before now is no longer wanted. Returns the new epoch."""
        changed = (
            update(Conversation)
            .where(Conversation.id == conversation_id)
            .values(epoch=Conversation.epoch + 1)
            .returning(Conversation.epoch)
        )
        async with self._sessions.write() as session:
            return await session.scalar(changed)


async def open_conversation(
    session: AsyncSession, person_id: int, chat_id: int, now: datetime, *, new: bool = False
) -> Conversation:
    """The open one, in a session that writes; made where there is none, or where it is to be."""
    wanted = {"person": person_id, "chat": chat_id}
    if not new and (found := await session.scalar(_OPEN_HELD, wanted)) is not None:
        return found
    await make_person(session, person_id, now)
    # Of two that come at once, one makes the conversation and the other finds it.
    await session.execute(select(Person).where(Person.id == person_id).with_for_update())
    found = await session.scalar(_OPEN, wanted)
    if found is not None and new:
        found.epoch += 1
    if found is None or new:
        found = Conversation(person_id=person_id, chat_id=chat_id, epoch=0, created=now, opened=now)
        session.add(found)
        await session.flush()
        await session.refresh(found, ["risk"])
    return found


async def required(session: AsyncSession, conversation_id: int, epoch: int | None) -> Conversation:
    """The conversation, held; raises Superseded when it was erased or left that epoch.

    None is any epoch.
    """
    talk = await session.scalar(_HELD, {"talk": conversation_id})
    if talk is None or epoch not in (None, talk.epoch):
        raise Superseded
    return talk
