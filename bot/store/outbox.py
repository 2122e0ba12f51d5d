"""Messages on their way to a chat: on disk before they are sent.

    new → placeholder (a message stands in the chat) → generated (its text is
    stored) → sent (the text was put into it; the row's text is emptied)

A reply's text replaces a placeholder by an edit, which may be repeated without
harm; sending a message may not. Knows nothing of how that is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.conversations import Superseded
from bot.store.part import Part, storable
from bot.store.tables import Conversation, Message, OutboxPart


class Outbox(Part):
    """Each part of each turn's reply once."""

    async def open_turn(
        self, turn: str, conversation_id: int, chat_id: int, epoch: int
    ) -> OutboxPart:
        """The turn's first part, made now if new, with whatever state it had reached."""
        async with self._sessions.write() as session:
            await _require(session, conversation_id, epoch)
            row = {
                "turn": turn,
                "part": 0,
                "conversation_id": conversation_id,
                "chat_id": chat_id,
                "epoch": epoch,
                "state": "new",
                "text": "",
                "created": self._clock(),
            }
            await session.execute(insert(OutboxPart).on_conflict_do_nothing(), [row])
            wanted = select(OutboxPart).where(OutboxPart.turn == turn, OutboxPart.part == 0)
            return (await session.scalars(wanted)).one()

    async def place(self, part_id: int, placeholder_id: int) -> None:
        """A message of this id stands in the chat for the part."""
        mine = update(OutboxPart).where(OutboxPart.id == part_id)
        async with self._sessions.write() as session:
            await session.execute(
                mine.where(OutboxPart.state != "sent").values(placeholder_id=placeholder_id)
            )
            await session.execute(mine.where(OutboxPart.state == "new").values(state="placeholder"))

    async def generated(
        self, turn: str, texts: Sequence[str], words: str | None = None, **made: Any
    ) -> list[OutboxPart]:
        """Store the reply's text, one part for each message; returns the parts in order.

        `words` joins the conversation's history in the same transaction, with
        how it was `made`. Repeating it changes nothing. Raises Superseded when the conversation
        was restarted or erased since the turn began.
        """
        async with self._sessions.write() as session:
            wanted = select(OutboxPart).where(OutboxPart.turn == turn)
            first = await session.scalar(wanted.where(OutboxPart.part == 0))
            if first is None:
                raise Superseded
            await _require(session, first.conversation_id, first.epoch)
            if first.state in ("new", "placeholder"):
                first.state, first.text = "generated", storable(texts[0])
                session.add_all(_follower(first, at, text) for at, text in enumerate(texts[1:], 1))
                if words is not None:
                    session.add(self._said(first, words, made))
            return list(await session.scalars(wanted.order_by(OutboxPart.part)))

    def _said(self, first: OutboxPart, words: str, made: dict[str, Any]) -> Message:
        return Message(
            conversation_id=first.conversation_id,
            role="assistant",
            text=storable(words),
            telegram_id=first.placeholder_id,
            created=self._clock(),
            epoch=first.epoch,
            **made,
        )

    async def sent(self, part_id: int) -> None:
        """The part's text reached the chat."""
        async with self._sessions.write() as session:
            await session.execute(
                update(OutboxPart)
                .where(OutboxPart.id == part_id, OutboxPart.state == "generated")
                .values(state="sent", text="")
            )

    async def turn_parts(self, turn: str) -> list[OutboxPart]:
        """The parts of a turn that was begun, in order; none when it was not."""
        wanted = select(OutboxPart).where(OutboxPart.turn == turn).order_by(OutboxPart.part)
        async with self._sessions.read() as session:
            return list(await session.scalars(wanted))

    async def is_placeholder(self, chat_id: int, message_id: int) -> bool:
        """Whether a turn knows this message: what no turn knows was left by a lost answer."""
        wanted = select(OutboxPart.id).where(
            OutboxPart.chat_id == chat_id, OutboxPart.placeholder_id == message_id
        )
        async with self._sessions.read() as session:
            return (await session.scalar(wanted.limit(1))) is not None

    async def unsent(self) -> list[OutboxPart]:
        """What a crash left under way, oldest turn first."""
        wanted = select(OutboxPart).where(OutboxPart.state != "sent")
        async with self._sessions.read() as session:
            return list(await session.scalars(wanted.order_by(OutboxPart.id)))


def _follower(first: OutboxPart, part: int, text: str) -> OutboxPart:
    return OutboxPart(
        turn=first.turn,
        part=part,
        conversation_id=first.conversation_id,
        chat_id=first.chat_id,
        epoch=first.epoch,
        state="generated",
        text=storable(text),
        created=first.created,
    )


async def _require(session: AsyncSession, conversation_id: int, epoch: int) -> None:
    wanted = select(Conversation.epoch).where(Conversation.id == conversation_id)
    if await session.scalar(wanted) != epoch:
        raise Superseded
