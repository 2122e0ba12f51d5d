"""What is known of a person, and how it ends: export, erasure, retention, housekeeping."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.sealing.sealed import NOTHING
from bot.store.claims import has_open
from bot.store.inline import outside
from bot.store.keyring import HOUSE, Key
from bot.store.opening import open_body, opened, titled
from bot.store.part import Part, plain
from bot.store.questionnaires import RUN_OUT, SITTING, open_sitting
from bot.store.tables import (
    AdminAction,
    Admitted,
    Ban,
    CheckIn,
    Consent,
    Conversation,
    Disclosure,
    FollowUp,
    HandOver,
    InboxChat,
    InboxUpdate,
    Invite,
    Message,
    OutboxPart,
    Person,
    PersonKey,
    Risk,
    SafetyDecision,
    Sitting,
    UsedButton,
)

# Telegram repeats an update for at most a day.
DONE_UPDATES = timedelta(days=2)
QUARANTINED_UPDATES = timedelta(days=14)
OUTBOX = timedelta(days=2)
CHECK_INS = timedelta(days=60)
FOLLOW_UPS = timedelta(days=60)
_CARE = (Risk, FollowUp, HandOver, Disclosure)


class Erasure(Part):
    """The end of rows."""

    LONG = frozenset({"export", "forget", "retain", "compact", "housekeeping"})

    async def export(self, person_id: int) -> dict[str, Any]:
        """Everything that is stored about a person."""
        async with self._sessions.read() as session:
            person = await session.get(Person, person_id)
            key = await self._keys.one(session, person_id)
            talks = await session.scalars(
                select(Conversation)
                .where(Conversation.person_id == person_id)
                .order_by(Conversation.id)
            )
            return {
                "person": plain(person) if person else None,
                "consents": await _rows(session, Consent, Consent.person_id == person_id),
                "conversations": [
                    plain(titled(talk, key))
                    | {
                        "messages": await _rows(
                            session, Message, Message.conversation_id == talk.id, key
                        )
                    }
                    for talk in list(talks)
                ],
                "safety_decisions": await _rows(
                    session, SafetyDecision, SafetyDecision.person_id == person_id
                ),
                "risks_held": await _rows(session, Risk, Risk.person_id == person_id),
                "check_ins": await _rows(session, CheckIn, CheckIn.person_id == person_id),
                "follow_ups": await _rows(session, FollowUp, FollowUp.person_id == person_id),
                "hand_over": await _rows(session, HandOver, HandOver.person_id == person_id),
                "told_what_i_am": await _rows(
                    session, Disclosure, Disclosure.person_id == person_id
                ),
                "questionnaires": await _rows(
                    session, Sitting, Sitting.person_id == person_id, key
                ),
                "replies_under_way": await _rows(
                    session, OutboxPart, OutboxPart.conversation_id.in_(_talks(person_id)), key
                ),
                "updates_not_finished": await _rows(session, InboxUpdate, _updates(person_id), key),
                "admitted": await _rows(session, Admitted, Admitted.person_id == person_id),
                "admin_actions": await _rows(session, AdminAction, _actions(person_id)),
            }

    async def forget(self, person_id: int) -> bool:
        """Erase a person: key, rows, free pages and the write-ahead log.

        False when a reader kept the log in use; housekeeping then ends it.
        """
        async with self._sessions.write() as session:
            await self._keys.hold(session, person_id)
            talks = _talks(person_id)
            for table in (Message, OutboxPart):
                await session.execute(delete(table).where(table.conversation_id.in_(talks)))
            for owned in (Conversation, Consent, SafetyDecision, CheckIn, Sitting, *_CARE):
                await session.execute(delete(owned).where(owned.person_id == person_id))
            blank: dict[str, Any] = {"chat_id": None, "person_id": None}
            blank |= {"state": "done", "sealed": NOTHING}
            await session.execute(update(InboxUpdate).where(_updates(person_id)).values(**blank))
            for column in (AdminAction.admin_id, AdminAction.subject_id):
                await session.execute(
                    update(AdminAction).where(column == person_id).values({column: None})
                )
            await session.execute(delete(InboxChat).where(InboxChat.chat_id == person_id))
            await session.execute(delete(Admitted).where(Admitted.person_id == person_id))
            await session.execute(delete(Person).where(Person.id == person_id))
            await self._keys.destroy(session, person_id)
        if self.when_forgotten is not None:
            await outside(self.when_forgotten)
        return await self.compact()

    async def retain(self, default_days: int) -> int:
        """Delete messages and questionnaires older than their person's setting.

        Returns how many messages.
        """
        now, gone = self._clock(), 0
        own = Person.retention_days
        chosen = case((own < default_days, own), else_=default_days)
        async with self._sessions.write() as session:
            for days in list(await session.scalars(select(chosen).distinct())):
                talks = select(Conversation.id).join(Person).where(chosen == days)
                old = (
                    Message.conversation_id.in_(talks),
                    Message.created < now - timedelta(days=days),
                )
                gone += await session.scalar(select(func.count(Message.id)).where(*old)) or 0
                await session.execute(delete(Message).where(*old))
                people = select(Person.id).where(chosen == days)
                await session.execute(
                    delete(Sitting).where(
                        Sitting.person_id.in_(people), Sitting.begun < now - timedelta(days=days)
                    )
                )
        await self._sessions.checkpoint()
        return gone

    async def compact(self) -> bool:
        """Write the file anew, without what was deleted; False if a reader was in the way.

        secure_delete empties freed cells, but a page that was split keeps a
        stale copy now and then: seen, not feared.
        """
        await self._sessions.vacuum()
        return await self._sessions.checkpoint()

    async def housekeeping(self) -> None:
        """Delete rows that have served, and empty the write-ahead log."""
        now = self._clock()
        served: list[tuple[Any, ColumnElement[bool]]] = [
            (InboxUpdate, _older("done", now - DONE_UPDATES)),
            (InboxUpdate, _older("quarantined", now - QUARANTINED_UPDATES)),
            (OutboxPart, OutboxPart.created < now - OUTBOX),
            (CheckIn, CheckIn.created < now - CHECK_INS),
            (FollowUp, FollowUp.created < now - FOLLOW_UPS),
            (InboxChat, InboxChat.claimed_by.is_(None) & ~has_open()),
            (UsedButton, UsedButton.expires < now),
            (Invite, Invite.expires < now),
            (Ban, Ban.until < now),
            (Sitting, and_(Sitting.state == "open", Sitting.begun < now - RUN_OUT)),
        ]
        run_out = and_(Sitting.state == "open", Sitting.begun < now - SITTING)
        async with self._sessions.write() as session:
            # The row stays a while, to say that it has run out.
            await session.execute(update(Sitting).where(run_out).values(sealed=NOTHING))
            for table, condition in served:
                await session.execute(delete(table).where(condition))
            await session.execute(delete(PersonKey).where(_unused()))
        await self._sessions.checkpoint()


def _talks(person_id: int) -> Any:
    return select(Conversation.id).where(Conversation.person_id == person_id)


def _updates(person_id: int) -> ColumnElement[bool]:
    # A private chat has its person's id.
    return or_(InboxUpdate.person_id == person_id, InboxUpdate.chat_id == person_id)


def _actions(person_id: int) -> ColumnElement[bool]:
    return or_(AdminAction.admin_id == person_id, AdminAction.subject_id == person_id)


def _unused() -> ColumnElement[bool]:
    """Keys of those who wrote and never agreed, once their updates are done."""
    known = select(Person.id)
    waiting = [
        select(column).where(InboxUpdate.state != "done", column.is_not(None))
        for column in (InboxUpdate.person_id, InboxUpdate.chat_id)
    ]
    return and_(
        PersonKey.person_id != HOUSE,
        *(PersonKey.person_id.not_in(found) for found in (known, *waiting)),
    )


def _older(state: str, than: datetime) -> ColumnElement[bool]:
    return and_(InboxUpdate.state == state, InboxUpdate.created < than)


async def _rows(
    session: AsyncSession, table: Any, wanted: Any, key: Key | None = None
) -> list[dict[str, Any]]:
    number = table.__table__.primary_key.columns.values()[0]
    rows = list(await session.scalars(select(table).where(wanted).order_by(number)))
    if table in (Message, OutboxPart):
        rows = opened(rows, key)
    elif table is InboxUpdate:
        for row in rows:
            open_body(row, key)
    elif table is Sitting:
        for row in rows:
            open_sitting(row, key)
    return [plain(row) for row in rows]
