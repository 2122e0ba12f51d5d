"""What was said, with how the model's part was made. Knows nothing of tokens or Telegram."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.sealing.sealed import NOTHING
from bot.store.conversations import required
from bot.store.keyring import Key
from bot.store.opening import opened
from bot.store.part import Part, storable
from bot.store.tables import Conversation, Message

# Made once: building a statement costs as much as asking it.
_SAID = (
    select(Message).where(Message.conversation_id == bindparam("conversation")).order_by(Message.id)
)


class Messages(Part):
    """The history of conversations."""

    async def history(self, conversation_id: int) -> list[Message]:
        """All messages, oldest first; one that is damaged on disk is left out and logged."""
        async with self._sessions.read() as session:
            key = await self._keys.of_talk(session, conversation_id)
            return await history_of(session, conversation_id, key)

    async def newest_message(self, person_id: int) -> int:
        """The number of the newest message with the person alone; 0 for none."""
        private = Conversation.person_id == person_id, Conversation.chat_id == person_id
        wanted = select(func.max(Message.id)).join(Conversation).where(*private)
        async with self._sessions.read() as session:
            return await session.scalar(wanted) or 0

    async def add_message(
        self, conversation_id: int, role: str, words: str, *, epoch: int | None = None, **made: Any
    ) -> int:
        """Append to a conversation; returns the message's id.

        Raises Superseded when the conversation was erased, or, with `epoch`,
        when it is no longer in that epoch.
        """
        async with self._sessions.write(repeatable=True) as session:
            talk = await required(session, conversation_id, epoch)
            key = await self._keys.make_one(session, talk.person_id)
            said = await say(session, talk, role, words, key, self._clock(), made)
            return said.id

    async def mark_sent(self, message_id: int, telegram_id: int | None) -> None:
        """The message reached the chat under this Telegram id."""
        async with self._sessions.write() as session:
            await session.execute(
                update(Message).where(Message.id == message_id).values(telegram_id=telegram_id)
            )


async def history_of(session: AsyncSession, talk: int, key: Key | None) -> list[Message]:
    """A conversation's messages, oldest first, without those that the key does not open."""
    return opened(list(await session.scalars(_SAID, {"conversation": talk})), key)


async def say(
    session: AsyncSession,
    talk: Conversation,
    role: str,
    words: str,
    key: Key,
    now: datetime,
    made: dict[str, Any],
) -> Message:
    """Append to a conversation, sealed; the message, opened."""
    said = Message(
        conversation_id=talk.id, role=role, sealed=NOTHING, created=now, epoch=talk.epoch, **made
    )
    session.add(said)
    # The words are sealed to the row's number, which the database gives.
    await session.flush()
    said.opened = storable(words)
    said.sealed = key.seal(said.place, said.opened)
    return said
