"""Tables of care: the risk held for a person, follow-ups, hand-overs, saying what it is.

None of them holds a word that anyone wrote. Knows nothing of Telegram's objects.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from bot.store.base import Base


class Risk(Base):
    """The level of risk held for a person in a chat, whichever conversation is open there.

    It ends with no conversation: danger does not. A group has its own, since a lock there tells
    everybody. No row is no risk.
    """

    __tablename__ = "risks"
    person_id: Mapped[int] = mapped_column(
        ForeignKey("persons.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    chat_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    level: Mapped[int]


class FollowUp(Base):
    """One question "how are you now?" that is owed: waiting, claimed, sent, quiet or missed."""

    __tablename__ = "follow_ups"
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id", ondelete="CASCADE"), index=True)
    chat_id: Mapped[int] = mapped_column(BigInteger)
    level: Mapped[int]
    step: Mapped[int]
    due: Mapped[datetime]
    state: Mapped[str] = mapped_column(index=True)
    created: Mapped[datetime]


class HandOver(Base):
    """Whether a person lets the operator be told and take over, and who writes to them now."""

    __tablename__ = "hand_overs"
    person_id: Mapped[int] = mapped_column(
        ForeignKey("persons.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    allowed: Mapped[bool]
    changed: Mapped[datetime]
    operator_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    taken: Mapped[datetime | None]


class Disclosure(Base):
    """When a person was last told that this is a program, and how long they talked since."""

    __tablename__ = "disclosures"
    person_id: Mapped[int] = mapped_column(
        ForeignKey("persons.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    told: Mapped[datetime]
    last_said: Mapped[datetime]
    talked_s: Mapped[float]
