"""The table of questionnaires that people fill in. Knows nothing of questions or scores."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from bot.sealing.sealed import Place, Sealed
from bot.store.base import Base, Bodied


class Sitting(Bodied, Base):
    """One filling-in of a questionnaire: open, or done.

    Which questionnaire, the answers and the score are sealed: all that anyone
    sees without the key is that there was one, and when.
    """

    __tablename__ = "questionnaires"
    # A button names its row: an erased one's id must never become another's.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]
    sealed: Mapped[Sealed] = mapped_column("answers")
    begun: Mapped[datetime] = mapped_column(index=True)

    @property
    def answers(self) -> dict[str, Any]:
        """What it holds, under its column's name."""
        return self.opened

    @property
    def place(self) -> Place:
        """Where the answers are sealed to."""
        return Place("questionnaires", "answers", self.id)
