"""A person's list of conversations: open another, name it, delete it.

Knows whose a conversation is, and touches nobody else's; knows nothing of how
a list is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.keyring import Key
from bot.store.opening import opened, titled
from bot.store.part import Part, storable
from bot.store.tables import Conversation, Message, OutboxPart

TITLE = 60


@dataclass(frozen=True, slots=True)
class Talk:
    """A line of the list. `title` is the person's, or how the conversation began."""

    id: int
    title: str
    messages: int
    created: datetime


class Talks(Part):
    """The conversations of one person in one chat."""

    async def talks(self, person_id: int, chat_id: int, most: int = 10) -> list[Talk]:
        """The open one first, then those that were open before it; empty ones are left out."""
        said = select(Message.conversation_id, func.count(Message.id).label("number"))
        counted = said.group_by(Message.conversation_id).subquery()
        wanted = (
            select(Conversation, counted.c.number)
            .join(counted, counted.c.conversation_id == Conversation.id)
            .where(Conversation.person_id == person_id, Conversation.chat_id == chat_id)
            .order_by(Conversation.opened.desc(), Conversation.id.desc())
            .limit(most)
        )
        async with self._sessions.read() as session:
            found = (await session.execute(wanted)).all()
            key = await self._keys.one(session, person_id)
            lines = []
            for talk, number in found:
                title = titled(talk, key).title or await _beginning(session, talk.id, key)
                lines.append(Talk(talk.id, title, number, talk.created))
            return lines

    async def reopen(self, person_id: int, conversation_id: int) -> bool:
        """The conversation is the open one again; False when it is not the person's."""
        async with self._sessions.write() as session:
            talk = await _own(session, person_id, conversation_id)
            if talk is None:
                return False
            here = select(Conversation).where(
                Conversation.person_id == person_id, Conversation.chat_id == talk.chat_id
            )
            latest = self._clock()
            for each in await session.scalars(here):
                # A reply to the one that is left is no longer wanted.
                each.epoch += each.id != talk.id
                latest = max(latest, each.opened + timedelta(microseconds=1))
            talk.opened = latest
            return True

    async def rename(self, person_id: int, conversation_id: int, title: str) -> bool:
        """Give it a name; False when it is not the person's."""
        async with self._sessions.write() as session:
            talk = await _own(session, person_id, conversation_id)
            if talk is not None:
                key = await self._keys.make_one(session, person_id)
                named = storable(" ".join(title.split()))[:TITLE]
                talk.sealed_title = key.seal(talk.place, named) or None
            return talk is not None

    async def delete_talk(self, person_id: int, conversation_id: int) -> bool:
        """Erase it with all that was said; False when it is not the person's."""
        async with self._sessions.write() as session:
            talk = await _own(session, person_id, conversation_id)
            if talk is None:
                return False
            for table in (Message, OutboxPart):
                await session.execute(delete(table).where(table.conversation_id == talk.id))
            await session.delete(talk)
        await self._sessions.checkpoint()
        return True


async def _own(session: AsyncSession, person: int, conversation: int) -> Conversation | None:
    talk = await session.get(Conversation, conversation)
    return talk if talk is not None and talk.person_id == person else None


async def _beginning(session: AsyncSession, conversation: int, key: Key | None) -> str:
    first = select(Message).where(Message.conversation_id == conversation, Message.role == "user")
    rows = await session.scalars(first.order_by(Message.id).limit(1))
    words = next((row.text for row in opened(list(rows), key)), "") or "…"
    plain = " ".join(words.split())
    return plain if len(plain) <= TITLE // 2 else f"{plain[: TITLE // 2].rstrip()}…"
