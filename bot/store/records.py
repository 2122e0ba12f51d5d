"""What is kept for review: the gate's findings and admins' actions, never anyone's words."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import insert, select

from bot.store.part import Part, storable
from bot.store.tables import AdminAction, Base, SafetyDecision

_DECISION = insert(Base.metadata.tables[SafetyDecision.__tablename__])


class Records(Part):
    """Rows that are written once and read by an operator."""

    async def record_decision(
        self, person_id: int, level: int, score: float, rules: Iterable[str], version: str
    ) -> None:
        """Keep what the gate found, without text."""
        async with self._sessions.write(repeatable=True) as session:
            row = {
                "person_id": person_id,
                "level": level,
                "score": score,
                "rules": {"ids": list(rules)},
                "version": version,
                "created": self._clock(),
            }
            await session.execute(_DECISION, [row])

    async def record_action(
        self, admin_id: int, action: str, detail: str = "", subject_id: int | None = None
    ) -> None:
        """Keep what an admin did, and to whom if to somebody."""
        async with self._sessions.write() as session:
            session.add(
                AdminAction(
                    admin_id=admin_id,
                    action=action,
                    subject_id=subject_id,
                    detail=storable(detail),
                    created=self._clock(),
                )
            )

    async def actions(self) -> list[AdminAction]:
        """What admins did, oldest first."""
        async with self._sessions.read() as session:
            return list(await session.scalars(select(AdminAction).order_by(AdminAction.id)))
