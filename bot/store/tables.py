"""The tables, as SQLAlchemy 2 declares them.

Times are UTC. What people and the model said is sealed: a row's `text` or
`body` is there once the store has opened it. Knows nothing of Telegram's
objects or of the model: ids and plain values only.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, column_property, mapped_column

from bot.sealing.sealed import Place, Sealed
from bot.store.base import Base as Base
from bot.store.base import Bodied, Worded
from bot.store.care_tables import Disclosure as Disclosure
from bot.store.care_tables import FollowUp as FollowUp
from bot.store.care_tables import HandOver as HandOver
from bot.store.care_tables import Risk as Risk
from bot.store.questionnaire_tables import Sitting as Sitting


class Person(Base):
    """Somebody who talks with the bot, and their settings; `id` is Telegram's."""

    __tablename__ = "persons"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    language: Mapped[str] = mapped_column(default="en")
    country: Mapped[str | None]
    retention_days: Mapped[int | None]
    created: Mapped[datetime]
    timezone: Mapped[str | None]
    streaming: Mapped[str] = mapped_column(default="draft", server_default="draft")
    # Wall time; none is no check-in. `since` keeps a time set just now from firing for the past.
    check_in_at: Mapped[time | None]
    check_in_since: Mapped[datetime | None]


class PersonKey(Base):
    """The key that seals a person's words, wrapped by the master key named `master`.

    Erasing this row erases the words, in every copy of them. No foreign key:
    an update is sealed before its person is known. Id 0 is nobody's.
    """

    __tablename__ = "person_keys"
    person_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    wrapped: Mapped[Sealed]
    master: Mapped[str]
    created: Mapped[datetime]


class Consent(Base):
    """What a person agreed to, and when."""

    __tablename__ = "consents"
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id", ondelete="CASCADE"), index=True)
    text_version: Mapped[str]
    given: Mapped[datetime]


class Conversation(Base):
    """One thread of talk; the one that a person opened last in a chat is the open one.

    `risk` is the level held for the person in the chat when this was read. `epoch` grows when it
    is restarted: a reply that was begun in an earlier epoch is no longer wanted.
    """

    __tablename__ = "conversations"
    # An erased conversation's id must never become another person's.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id", ondelete="CASCADE"), index=True)
    chat_id: Mapped[int] = mapped_column(BigInteger, index=True)
    created: Mapped[datetime]
    epoch: Mapped[int] = mapped_column(default=0, server_default="0")
    opened: Mapped[datetime]
    sealed_title: Mapped[Sealed | None] = mapped_column("title")
    opened_title = ""
    risk: Mapped[int] = column_property(
        select(func.coalesce(func.max(Risk.level), 0))
        .where(Risk.person_id == person_id, Risk.chat_id == chat_id)
        .scalar_subquery()
    )

    @property
    def title(self) -> str:
        """The name that the person gave it, if any, once the store has opened it."""
        return self.opened_title

    @property
    def place(self) -> Place:
        """Where the title is sealed to."""
        return Place("conversations", "title", self.id)


class Message(Worded, Base):
    """One message of a conversation, with how the model's were made."""

    __tablename__ = "messages"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str]
    sealed: Mapped[Sealed] = mapped_column("text")
    telegram_id: Mapped[int | None] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(index=True)
    model: Mapped[str | None]
    adapter: Mapped[str | None]
    adapter_sha256: Mapped[str | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    turns_left_out: Mapped[int | None]
    queued_s: Mapped[float | None]
    first_token_s: Mapped[float | None]
    total_s: Mapped[float | None]
    stopped: Mapped[bool] = mapped_column(default=False, server_default="0")
    epoch: Mapped[int] = mapped_column(default=0, server_default="0")

    @property
    def place(self) -> Place:
        """Where the text is sealed to."""
        return Place("messages", "text", self.id)


class SafetyDecision(Base):
    """What the gate found; never the text."""

    __tablename__ = "safety_decisions"
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id", ondelete="CASCADE"), index=True)
    level: Mapped[int]
    score: Mapped[float]
    rules: Mapped[dict[str, Any]]
    version: Mapped[str]
    created: Mapped[datetime]


class InboxUpdate(Bodied, Base):
    """An update from Telegram, on disk before Telegram is told that it was received.

    `state` is open, done (its body is emptied, its id stays so that it is not
    taken twice) or quarantined (it failed; `error` names the exception).
    """

    __tablename__ = "inbox"
    update_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sealed: Mapped[Sealed] = mapped_column("body")
    attempts: Mapped[int] = mapped_column(default=0)
    created: Mapped[datetime]
    chat_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    person_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    state: Mapped[str] = mapped_column(default="open", server_default="open", index=True)
    error: Mapped[str | None]

    @property
    def owner(self) -> int:
        """Whose key seals the body: the sender's, else the chat's, else nobody's."""
        return self.person_id or self.chat_id or 0

    @property
    def place(self) -> Place:
        """Where the body is sealed to."""
        return Place("inbox", "body", self.update_id)


class InboxChat(Base):
    """A chat that updates came from, and which process takes them; none is nobody's.

    One chat's updates are taken by one process, so that their order holds.
    Updates without a chat stand under 0.
    """

    __tablename__ = "inbox_chats"
    chat_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    claimed_by: Mapped[int | None] = mapped_column(index=True)


class Ban(Base):
    """Somebody who is not answered. `tag` is a keyed hash of their id: it outlives erasure."""

    __tablename__ = "bans"
    tag: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime | None]
    created: Mapped[datetime]


class Invite(Base):
    """A code that lets people in; kept as a keyed hash."""

    __tablename__ = "invites"
    tag: Mapped[str] = mapped_column(primary_key=True)
    uses_left: Mapped[int]
    expires: Mapped[datetime]
    created: Mapped[datetime]


class Admitted(Base):
    """Somebody who came in with an invite."""

    __tablename__ = "admitted"
    person_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    created: Mapped[datetime]


class UsedButton(Base):
    """A button that may be pressed once and was; kept until it would have expired."""

    __tablename__ = "used_buttons"
    nonce: Mapped[str] = mapped_column(primary_key=True)
    update_id: Mapped[int] = mapped_column(BigInteger)
    expires: Mapped[datetime]


class Switch(Base):
    """What an operator turned on or off while Lanner runs, such as maintenance."""

    __tablename__ = "switches"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    changed: Mapped[datetime]


class Broadcast(Worded, Base):
    """An operator's message to all who agreed; `reached` is the last person's id, to go on from.

    Its text is sealed under nobody's key, and emptied when it is done or stopped.
    """

    __tablename__ = "broadcasts"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    sealed: Mapped[Sealed] = mapped_column("text")
    state: Mapped[str]
    reached: Mapped[int] = mapped_column(BigInteger, default=0)
    sent: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    created: Mapped[datetime]

    @property
    def place(self) -> Place:
        """Where the text is sealed to."""
        return Place("broadcasts", "text", self.id)


class OutboxPart(Worded, Base):
    """One message on its way to a chat: new, placeholder, generated, sent.

    A turn has one part for each message that its reply is split into.
    """

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("turn", "part"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(primary_key=True)
    turn: Mapped[str]
    part: Mapped[int]
    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), index=True
    )
    chat_id: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[int]
    state: Mapped[str] = mapped_column(index=True)
    placeholder_id: Mapped[int | None] = mapped_column(BigInteger)
    sealed: Mapped[Sealed] = mapped_column("text")
    created: Mapped[datetime]

    @property
    def place(self) -> Place:
        """Where the text is sealed to."""
        return Place("outbox", "text", f"{self.turn}/{self.part}")


class CheckIn(Base):
    """A daily check-in, at most one for a person's local date."""

    __tablename__ = "check_ins"
    __table_args__ = (UniqueConstraint("person_id", "local_date"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id", ondelete="CASCADE"))
    local_date: Mapped[date]
    due: Mapped[datetime]
    state: Mapped[str]
    created: Mapped[datetime]


class AdminAction(Base):
    """What an admin did, without anyone's words. Ids are emptied when their person is erased."""

    __tablename__ = "admin_audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    admin_id: Mapped[int | None] = mapped_column(BigInteger)
    action: Mapped[str]
    subject_id: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[str]
    created: Mapped[datetime]
