"""PostgreSQL: many write at once, from several processes. Knows no table's meaning.

Transactions are READ COMMITTED; whoever decides by a row locks it
(`with_for_update`, which SQLite leaves out as it needs none).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from bot.store.keyring import Keyring
from bot.store.sessions import Sessions
from bot.store.tables import PersonKey

PREFIX = "postgresql+asyncpg://"
# Any number that nothing else on this database locks.
MIGRATING = 0x6C616E6E6572
CONNECT_S, STATEMENT_S = 10, 60


class PostgresSessions(Sessions):
    """Sessions of one server's database."""

    shared = True

    def __init__(self, engine: AsyncEngine, keys: Keyring) -> None:
        super().__init__(keys)
        self.engine = engine
        self._reading = async_sessionmaker(engine, expire_on_commit=False)
        one_state = engine.execution_options(isolation_level="REPEATABLE READ")
        self._one_state = async_sessionmaker(one_state, expire_on_commit=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A transaction that is rolled back."""
        async with self._reading() as session:
            yield session

    @asynccontextmanager
    async def write(self, *, repeatable: bool = False) -> AsyncIterator[AsyncSession]:  # noqa: ARG002
        """A transaction of its own; the server's settings say what it waits for."""
        async with self._reading.begin() as session:
            yield session

    def light_read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that is rolled back."""
        return self.engine.connect()

    def light_write(
        self,
        *,
        repeatable: bool = False,  # noqa: ARG002
    ) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction of its own."""
        return self.engine.begin()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """REPEATABLE READ sees what was committed when it began."""
        async with self._one_state() as session:
            yield session

    async def checkpoint(self) -> bool:
        """Left to the server."""
        return True

    async def vacuum(self) -> None:
        """Free the rows of destroyed keys at once; the server frees the rest, sealed, by itself."""
        alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        async with alone.connect() as connection:
            await connection.exec_driver_sql(f"VACUUM {PersonKey.__tablename__}")

    async def close(self) -> None:
        """Close the connections."""
        await self.engine.dispose()

    async def size_bytes(self) -> int:
        """The database, indexes included."""
        async with self.engine.connect() as connection:
            size = text("SELECT pg_database_size(current_database())")
            return int((await connection.execute(size)).scalar_one())


def open_engine(url: str) -> AsyncEngine:
    """An engine as Lanner runs on; a connection that the server closed is replaced."""
    return create_async_engine(
        url,
        pool_size=8,
        max_overflow=8,
        pool_pre_ping=True,
        connect_args={"timeout": CONNECT_S, "command_timeout": STATEMENT_S},
    )


async def migrate_server(url: str, migrate: Any) -> bool:
    """Run `migrate(connection)`, which says whether it changed anything, all or nothing."""
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_S})
    try:
        async with engine.begin() as connection:
            # A process that starts at the same time waits here.
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATING})"))
            return bool(await connection.run_sync(migrate))
    finally:
        await engine.dispose()
