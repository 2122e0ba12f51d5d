"""What the application asks of the database, one short transaction each.

Knows tables and times; knows nothing of Telegram's objects, the model or what
a level of risk means. No session is open when a method has returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.database import Sessions
from bot.store.tables import Consent, Conversation, InboxUpdate, Message, Person, SafetyDecision

Clock = Callable[[], datetime]


def storable(value: str) -> str:
    """Text that SQLite can hold: lone surrogates become question marks."""
    return value.encode("utf-8", "replace").decode("utf-8")


class Store:
    """Persons, conversations, messages and the inbox."""

    def __init__(self, engine: AsyncEngine, sessions: Sessions, clock: Clock) -> None:
        self._engine, self._sessions, self._clock = engine, sessions, clock

    async def close(self) -> None:
        """Give the connections back."""
        await self._engine.dispose()

    async def person(self, person_id: int, language: str = "en") -> Person:
        """The person, made now if new."""
        async with self._sessions.begin() as session:
            made = insert(Person).values(id=person_id, language=language, created=self._clock())
            await session.execute(made.on_conflict_do_nothing())
            return (await session.scalars(select(Person).where(Person.id == person_id))).one()

    async def set_person(self, person_id: int, **values: Any) -> None:
        """Change settings of one person."""
        async with self._sessions.begin() as session:
            await session.execute(update(Person).where(Person.id == person_id).values(**values))

    async def consent(self, person_id: int, version: str) -> None:
        """Record that the person agreed to this version of the text."""
        async with self._sessions.begin() as session:
            session.add(Consent(person_id=person_id, text_version=version, given=self._clock()))

    async def has_consented(self, person_id: int, version: str) -> bool:
        """Whether the person agreed to this version."""
        wanted = select(Consent.id).where(
            Consent.person_id == person_id, Consent.text_version == version
        )
        async with self._sessions() as session:
            return (await session.scalar(wanted.limit(1))) is not None

    async def conversation(
        self, person_id: int, chat_id: int, *, new: bool = False
    ) -> Conversation:
        """The chat's open conversation; `new` begins another."""
        wanted = select(Conversation).where(
            Conversation.chat_id == chat_id, Conversation.person_id == person_id
        )
        await self.person(person_id)
        async with self._sessions.begin() as session:
            found = await session.scalar(wanted.order_by(Conversation.id.desc()).limit(1))
            if found is None or new:
                found = Conversation(
                    person_id=person_id, chat_id=chat_id, risk=0, created=self._clock()
                )
                session.add(found)
            return found

    async def set_risk(self, conversation_id: int, level: int) -> None:
        """Hold a level of risk in a conversation."""
        async with self._sessions.begin() as session:
            await session.execute(
                update(Conversation).where(Conversation.id == conversation_id).values(risk=level)
            )

    async def history(self, conversation_id: int) -> list[Message]:
        """All messages, oldest first."""
        wanted = select(Message).where(Message.conversation_id == conversation_id)
        async with self._sessions() as session:
            return list(await session.scalars(wanted.order_by(Message.id)))

    async def add_message(self, conversation_id: int, role: str, words: str, **values: Any) -> int:
        """Append to a conversation; returns the message's id."""
        async with self._sessions.begin() as session:
            message = Message(
                conversation_id=conversation_id,
                role=role,
                text=storable(words),
                created=self._clock(),
                **values,
            )
            session.add(message)
            await session.flush()
            return message.id

    async def mark_sent(self, message_id: int, telegram_id: int | None) -> None:
        """The message reached the chat under this Telegram id."""
        async with self._sessions.begin() as session:
            await session.execute(
                update(Message).where(Message.id == message_id).values(telegram_id=telegram_id)
            )

    async def cut_from(self, conversation_id: int, message_id: int) -> None:
        """Forget this message and what came after it."""
        async with self._sessions.begin() as session:
            await session.execute(
                delete(Message).where(
                    Message.conversation_id == conversation_id, Message.id >= message_id
                )
            )

    async def record_decision(
        self, person_id: int, level: int, score: float, rules: Iterable[str], version: str
    ) -> None:
        """Keep what the gate found, without text."""
        async with self._sessions.begin() as session:
            session.add(
                SafetyDecision(
                    person_id=person_id,
                    level=level,
                    score=score,
                    rules={"ids": list(rules)},
                    version=version,
                    created=self._clock(),
                )
            )

    async def export(self, person_id: int) -> dict[str, Any]:
        """Everything that is stored about a person."""
        async with self._sessions() as session:
            person = await session.get(Person, person_id)
            talks = list(
                await session.scalars(
                    select(Conversation).where(Conversation.person_id == person_id)
                )
            )
            consents = list(
                await session.scalars(select(Consent).where(Consent.person_id == person_id))
            )
        return {
            "person": _row(person) if person else None,
            "consents": [_row(consent) for consent in consents],
            "conversations": [
                _row(talk) | {"messages": [_row(m) for m in await self.history(talk.id)]}
                for talk in talks
            ],
        }

    async def forget(self, person_id: int) -> None:
        """Erase a person: rows, free pages and the write-ahead log."""
        async with self._sessions.begin() as session:
            talks = select(Conversation.id).where(Conversation.person_id == person_id)
            await session.execute(delete(Message).where(Message.conversation_id.in_(talks)))
            for table in (Conversation, Consent, SafetyDecision):
                await session.execute(delete(table).where(table.person_id == person_id))
            await session.execute(delete(Person).where(Person.id == person_id))
        await self._checkpoint()

    async def retain(self, default_days: int) -> int:
        """Delete messages older than their person's setting; returns how many."""
        now, gone = self._clock(), 0
        async with self._sessions.begin() as session:
            for person in list(await session.scalars(select(Person))):
                days = min(person.retention_days or default_days, default_days)
                talks = select(Conversation.id).where(Conversation.person_id == person.id)
                old = (
                    Message.conversation_id.in_(talks),
                    Message.created < now - timedelta(days=days),
                )
                gone += await session.scalar(select(func.count(Message.id)).where(*old)) or 0
                await session.execute(delete(Message).where(*old))
        await self._checkpoint()
        return gone

    async def receive(self, updates: list[dict[str, Any]]) -> None:
        """Keep a batch of updates; one that is known already is not kept twice."""
        if not updates:
            return
        rows = [
            {"update_id": u["update_id"], "body": u, "attempts": 0, "created": self._clock()}
            for u in updates
        ]
        async with self._sessions.begin() as session:
            await session.execute(insert(InboxUpdate).on_conflict_do_nothing(), rows)

    async def open_updates(self) -> list[dict[str, Any]]:
        """Updates that were received and not finished, oldest first."""
        wanted = select(InboxUpdate.body).order_by(InboxUpdate.update_id)
        async with self._sessions() as session:
            return list(await session.scalars(wanted))

    async def finish_update(self, update_id: int) -> None:
        """The update's turn is over."""
        async with self._sessions.begin() as session:
            await session.execute(delete(InboxUpdate).where(InboxUpdate.update_id == update_id))

    async def _checkpoint(self) -> None:
        async with self._engine.connect() as connection:
            await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))


def _row(item: Any) -> dict[str, Any]:
    values = {column.name: getattr(item, column.name) for column in item.__table__.columns}
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}
