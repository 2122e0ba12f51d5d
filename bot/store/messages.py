"""What was said, with how the model's part was made. Knows nothing of tokens or Telegram."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, update

from bot.store.conversations import Superseded
from bot.store.part import Part, storable
from bot.store.tables import Conversation, Message


class Messages(Part):
    """The history of conversations."""

    async def history(self, conversation_id: int) -> list[Message]:
        """All messages, oldest first."""
        wanted = select(Message).where(Message.conversation_id == conversation_id)
        async with self._sessions.read() as session:
            return list(await session.scalars(wanted.order_by(Message.id)))

    async def add_message(
        self, conversation_id: int, role: str, words: str, *, epoch: int | None = None, **made: Any
    ) -> int:
        """Append to a conversation; returns the message's id.

        Raises Superseded when the conversation was erased, or, with `epoch`,
        when it is no longer in that epoch.
        """
        async with self._sessions.write() as session:
            current = await session.scalar(
                select(Conversation.epoch).where(Conversation.id == conversation_id)
            )
            if current is None or epoch not in (None, current):
                raise Superseded
            message = Message(
                conversation_id=conversation_id,
                role=role,
                text=storable(words),
                created=self._clock(),
                epoch=current,
                **made,
            )
            session.add(message)
            await session.flush()
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
