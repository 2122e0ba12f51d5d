"""What admins did, kept for review, without anyone's words."""

from __future__ import annotations

from sqlalchemy import select

from bot.store.part import Part, storable
from bot.store.tables import AdminAction


class Records(Part):
    """Rows that are written once and read by an operator."""

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
