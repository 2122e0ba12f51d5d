"""Messages on their way to a chat: on disk before they are sent.

    new → placeholder (a message stands in the chat) → generated (its text is
    stored) → sent (the text was put into it; the row's text is emptied)

A reply's text replaces a placeholder by an edit, which may be repeated without
harm; sending a message may not. Knows nothing of how that is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, case, select, update

from bot.sealing.sealed import NOTHING
from bot.store.conversations import Superseded, required
from bot.store.keyring import Key
from bot.store.messages import say
from bot.store.opening import opened
from bot.store.part import Part, storable
from bot.store.tables import Base, OutboxPart

# Made once, and of the table itself: what the mapped class adds costs more than the statement.
_PARTS = Base.metadata.tables[OutboxPart.__tablename__]
_MINE = update(_PARTS).where(_PARTS.c.id == bindparam("this"))
_PLACED = _MINE.where(_PARTS.c.state != "sent").values(
    placeholder_id=bindparam("placeholder"),
    state=case((_PARTS.c.state == "new", "placeholder"), else_=_PARTS.c.state),
)
# Of one turn, in order.
PARTS_OF = select(OutboxPart).where(OutboxPart.turn == bindparam("turn")).order_by(OutboxPart.part)
_SENT = _MINE.where(_PARTS.c.state == "generated").values(state="sent", text=NOTHING)


class Outbox(Part):
    """Each part of each turn's reply once."""

    async def place(self, part_id: int, placeholder_id: int) -> None:
        """A message of this id stands in the chat for the part."""
        async with self._sessions.light_write(repeatable=True) as connection:
            await connection.execute(_PLACED, {"this": part_id, "placeholder": placeholder_id})

    async def generated(
        self, turn: str, texts: Sequence[str], words: str | None = None, **made: Any
    ) -> list[OutboxPart]:
        """Store the reply's text, one part for each message; returns the parts in order.

        `words` joins the conversation's history in the same transaction, with
        how it was `made`. Repeating it changes nothing. Raises Superseded when the conversation
        was restarted or erased since the turn began.
        """
        async with self._sessions.write() as session:
            first = await session.scalar(PARTS_OF, {"turn": turn})
            if first is None:
                raise Superseded
            talk = await required(session, first.conversation_id, first.epoch)
            key = await self._keys.make_one(session, talk.person_id)
            if first.state in ("new", "placeholder"):
                first.state = "generated"
                first.sealed = key.seal(first.place, storable(texts[0]))
                session.add_all(
                    _follower(first, at, text, key) for at, text in enumerate(texts[1:], 1)
                )
                if words is not None:
                    made["telegram_id"] = first.placeholder_id
                    await say(session, talk, "assistant", words, key, self._clock(), made)
            return opened(list(await session.scalars(PARTS_OF, {"turn": turn})), key)

    async def sent(self, part_id: int) -> None:
        """The part's text reached the chat."""
        async with self._sessions.light_write(repeatable=True) as connection:
            await connection.execute(_SENT, {"this": part_id})

    async def turn_parts(self, turn: str) -> list[OutboxPart]:
        """The parts of a turn that was begun, in order; none when it was not.

        One that is damaged on disk is as if it were still to be written.
        """
        async with self._sessions.read() as session:
            parts = list(await session.scalars(PARTS_OF, {"turn": turn}))
            key = await self._keys.of_talk(session, parts[0].conversation_id) if parts else None
        return opened(parts, key)

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
            parts = list(await session.scalars(wanted.order_by(OutboxPart.id)))
            talks = {p.conversation_id for p in parts}
            keys = {talk: await self._keys.of_talk(session, talk) for talk in talks}
        return [p for p in parts if opened([p], keys[p.conversation_id])]


def _follower(first: OutboxPart, part: int, text: str, key: Key) -> OutboxPart:
    made = OutboxPart(
        turn=first.turn,
        part=part,
        conversation_id=first.conversation_id,
        chat_id=first.chat_id,
        epoch=first.epoch,
        state="generated",
        created=first.created,
    )
    made.sealed = key.seal(made.place, storable(text))
    return made
