"""What was said, with how the model's part was made. Knows nothing of tokens or Telegram."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, update

from bot.sealing.sealed import NOTHING
from bot.store.conversations import Superseded
from bot.store.opening import opened
from bot.store.part import Part, storable
from bot.store.tables import Conversation, Message


class Messages(Part):
    """The history of conversations."""

    async def history(self, conversation_id: int) -> list[Message]:
        """All messages, oldest first; one that is damaged on disk is left out and logged."""
        wanted = select(Message).where(Message.conversation_id == conversation_id)
        owner = select(Conversation.person_id).where(Conversation.id == conversation_id)
        async with self._sessions.read() as session:
            rows = list(await session.scalars(wanted.order_by(Message.id)))
            person_id = await session.scalar(owner)
            key = None if person_id is None else await self._keys.one(session, person_id)
        return opened(rows, key)

    async def add_message(
        self, conversation_id: int, role: str, words: str, *, epoch: int | None = None, **made: Any
    ) -> int:
        """Append to a conversation; returns the message's id.

        Raises Superseded when the conversation was erased, or, with `epoch`,
        when it is no longer in that epoch.
        """
        async with self._sessions.write(repeatable=True) as session:
            talk = await session.scalar(
                select(Conversation).where(Conversation.id == conversation_id).with_for_update()
            )
            if talk is None or epoch not in (None, talk.epoch):
                raise Superseded
            key = await self._keys.make_one(session, talk.person_id)
            message = Message(
                conversation_id=conversation_id,
                role=role,
                sealed=NOTHING,
                created=self._clock(),
                epoch=talk.epoch,
                **made,
            )
            session.add(message)
            # The words are sealed to the row's number, which the database gives.
            await session.flush()
            message.sealed = key.seal(message.place, storable(words))
            return message.id

    async def mark_sent(self, message_id: int, telegram_id: int | None) -> None:
        """The message reached the chat under this Telegram id."""
        async with self._sessions.write() as session:
            await session.execute(
                update(Message).where(Message.id == message_id).values(telegram_id=telegram_id)
            )

    async def cut_from(self, conversation_id: int, message_id: int) -> None:
        """Forget this message and what came after it: it was edited, or is answered anew."""
        gone = delete(Message).where(
            Message.conversation_id == conversation_id, Message.id >= message_id
        )
        async with self._sessions.write() as session:
            await session.execute(gone)
            await session.execute(
                update(Conversation)
                .where(Conversation.id == conversation_id)
                .values(epoch=Conversation.epoch + 1)
            )
