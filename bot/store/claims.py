"""Which process takes which chat's updates, when several share one inbox.

A process claims chats, not updates: one chat's order holds because one process
takes it whole. A claim ends when its chat has nothing open, or when its process
is dead, which the database itself knows (see bot.store.presence); no clock
takes part. With SQLite there is one process, and every other is dead.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, exists, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.inbox import Inbox
from bot.store.opening import open_body
from bot.store.presence import PROCESSES
from bot.store.tables import InboxChat, InboxUpdate


class Claims(Inbox):
    """Open updates, a chat to a process."""

    async def claim_updates(self, process: int, chats: int) -> list[dict[str, Any]]:
        """Open updates of the chats that `process` holds, oldest first; takes up to `chats` more.

        Those that it was given before and has not finished are among them.
        """
        async with self._sessions.write() as session:
            await self._release(session, process)
            await self._take(session, process, chats)
            rows = list(await session.scalars(_open_of(process)))
            keys = await self._keys.find(session, {row.owner for row in rows})
        for row in rows:
            open_body(row, keys.get(row.owner))
        return await self._readable(rows)

    async def free_the_dead(self, process: int) -> int:
        """Take claims away from processes that are no more; returns how many chats are free."""
        others = select(InboxChat.claimed_by).where(InboxChat.claimed_by != process).distinct()
        async with self._sessions.write() as session:
            dead = [
                other
                for other in await session.scalars(others)
                if other is not None and not await self._alive(session, other)
            ]
            freed = update(InboxChat).where(InboxChat.claimed_by.in_(dead))
            done = await session.scalars(freed.values(claimed_by=None).returning(InboxChat.chat_id))
            return len(list(done))

    async def backlog(self) -> int:
        """How many updates are open."""
        wanted = select(func.count()).where(InboxUpdate.state == "open")
        async with self._sessions.read() as session:
            return await session.scalar(wanted) or 0

    async def _release(self, session: AsyncSession, process: int) -> None:
        idle = update(InboxChat).where(InboxChat.claimed_by == process, ~has_open())
        await session.execute(idle.values(claimed_by=None))

    async def _take(self, session: AsyncSession, process: int, chats: int) -> None:
        free = (
            select(InboxChat.chat_id)
            .where(InboxChat.claimed_by.is_(None), has_open())
            .order_by(InboxChat.chat_id)
            .limit(chats)
            .with_for_update(skip_locked=True)
        )
        taken = list(await session.scalars(free))
        mine = update(InboxChat).where(InboxChat.chat_id.in_(taken))
        await session.execute(mine.values(claimed_by=process))

    async def _alive(self, session: AsyncSession, process: int) -> bool:
        if not self._sessions.shared:
            return False
        got = text("SELECT pg_try_advisory_xact_lock(:kind, :number)")
        return not await session.scalar(got, {"kind": PROCESSES, "number": process})


def has_open() -> Any:
    """Whether a chat of the inbox has an open update."""
    chat = func.coalesce(InboxUpdate.chat_id, 0)
    return exists().where(chat == InboxChat.chat_id, InboxUpdate.state == "open")


def _open_of(process: int) -> Select[InboxUpdate]:
    mine = select(InboxChat.chat_id).where(InboxChat.claimed_by == process)
    chat = func.coalesce(InboxUpdate.chat_id, 0)
    wanted = select(InboxUpdate).where(InboxUpdate.state == "open", chat.in_(mine))
    return wanted.order_by(InboxUpdate.update_id)
