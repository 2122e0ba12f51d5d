"""A turn's way through the store: begun, decided, then the outbox's.

Each step is one transaction, so that a turn is begun whole or not at all: the
conversation, the person's words in it and the reply's first part. Knows
nothing of what a level of risk means or of how words are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.sealing.sealed import NOTHING
from bot.store.conversations import Superseded, open_conversation
from bot.store.keyring import Key
from bot.store.messages import history_of, say
from bot.store.opening import opened
from bot.store.outbox import PARTS_OF
from bot.store.part import Part
from bot.store.risks import hold
from bot.store.tables import Base, Conversation, Message, OutboxPart, Person, SafetyDecision

# Made once: building a statement costs as much as asking it.
_DECISION = insert(Base.metadata.tables[SafetyDecision.__tablename__])
_MANNER = select(Person.language, Person.country, Person.streaming).where(
    Person.id == bindparam("person")
)


class Manner(NamedTuple):
    """How a person is spoken to; `streaming` as in bot.people."""

    language: str
    country: str | None
    streaming: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a turn does to its conversation: forget from a message on, then add words."""

    cut_from: int | None = None
    words: str | None = None
    telegram_id: int | None = None


Wish = Callable[[Conversation, list[Message]], Change | None]
"""Told of a conversation as it stands; None: there is nothing to answer."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn: its conversation, with what was said, and its reply's parts, at least the first."""

    talk: Conversation
    history: list[Message]
    parts: list[OutboxPart]

    @property
    def written(self) -> bool:
        """Whether its reply is on disk already."""
        return self.parts[0].state in ("generated", "sent")


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate found, without text."""

    level: int
    score: float
    rules: Iterable[str]
    version: str


class Turns(Part):
    """Beginning, and what was found."""

    async def begin_turn(self, turn: str, person_id: int, chat_id: int, wish: Wish) -> Begun | None:
        """Begin, or take up what was begun under this name; None: nothing to answer.

        Raises Superseded when the conversation that it was begun in is restarted or erased, and
        its reply is not on disk.
        """
        async with self._sessions.write(repeatable=True) as session:
            parts = list(await session.scalars(PARTS_OF, {"turn": turn}))
            if parts:
                return await self._taken_up(session, parts)
            talk = await open_conversation(session, person_id, chat_id, self._clock())
            key = await self._keys.make_one(session, talk.person_id)
            history = await history_of(session, talk.id, key)
            change = wish(talk, history)
            if change is None:
                return None
            history = await self._changed(session, talk, history, change, key)
            part = OutboxPart(
                turn=turn, part=0, conversation_id=talk.id, chat_id=chat_id, epoch=talk.epoch,
                state="new", sealed=NOTHING, created=self._clock(),
            )  # fmt: skip
            session.add(part)
            return Begun(talk, history, [part])

    async def _taken_up(self, session: AsyncSession, parts: list[OutboxPart]) -> Begun:
        first = parts[0]
        talk = await session.get(Conversation, first.conversation_id)
        if talk is None:
            raise Superseded
        key = await self._keys.one(session, talk.person_id)
        readable = opened(parts, key)
        if not readable:
            # Damaged on disk: the reply is written again.
            first.state, first.sealed = "placeholder" if first.placeholder_id else "new", NOTHING
            readable = [first]
        begun = Begun(talk, await history_of(session, talk.id, key), readable)
        if talk.epoch != first.epoch and not begun.written:
            raise Superseded
        return begun

    async def _changed(
        self,
        session: AsyncSession,
        talk: Conversation,
        history: list[Message],
        change: Change,
        key: Key,
    ) -> list[Message]:
        if (first := change.cut_from) is not None:
            gone = Message.conversation_id == talk.id, Message.id >= first
            await session.execute(delete(Message).where(*gone))
            talk.epoch += 1
            history = [message for message in history if message.id < first]
        if change.words is None:
            return history
        made = {"telegram_id": change.telegram_id}
        said = await say(session, talk, "user", change.words, key, self._clock(), made)
        return [*history, said]

    async def decide(self, person_id: int, chat_id: int, found: Decision) -> Manner:
        """Keep what the gate found, and hold its level in the chat; how the person is spoken to.

        Raises Superseded when the person was erased.
        """
        row = {
            "person_id": person_id,
            "level": found.level,
            "score": found.score,
            "rules": {"ids": list(found.rules)},
            "version": found.version,
            "created": self._clock(),
        }
        async with self._sessions.light_write(repeatable=True) as connection:
            manner = (await connection.execute(_MANNER, {"person": person_id})).first()
            if manner is None:
                raise Superseded
            await connection.execute(_DECISION, [row])
            await hold(connection, person_id, chat_id, found.level)
            return Manner(*manner)
