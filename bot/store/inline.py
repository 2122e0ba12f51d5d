"""An AsyncSession over a plain engine: each statement runs where it is awaited.

SQLite answers in a tenth of a millisecond, and handing each step of a statement
to another thread and back took four times as long (docs/decisions). So a whole
method of the store runs in one thread (`Threads`), where nothing that it awaits
is ever waited for. Knows SQLAlchemy; knows no table and no dialect.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Result
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

Found = TypeVar("Found")


class Inline:
    """What a session and a connection are asked alike; `_asked` answers at once."""

    _asked: Any

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """See AsyncSession and AsyncConnection."""
        return self._asked.execute(*args, **kwargs)

    async def scalar(self, *args: Any, **kwargs: Any) -> Any:
        """See AsyncSession and AsyncConnection."""
        return self._asked.scalar(*args, **kwargs)

    async def scalars(self, *args: Any, **kwargs: Any) -> Any:
        """See AsyncSession and AsyncConnection."""
        return self._asked.scalars(*args, **kwargs)


class InlineSession(Inline, AsyncSession):
    """See AsyncSession; what Lanner uses of it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(expire_on_commit=False)
        self.sync_session.bind = engine
        self._asked = self.sync_session

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        """See AsyncSession."""
        return self.sync_session.get(*args, **kwargs)

    async def delete(self, instance: object) -> None:
        """See AsyncSession."""
        self.sync_session.delete(instance)

    async def flush(self, objects: Sequence[Any] | None = None) -> None:
        """See AsyncSession."""
        self.sync_session.flush(objects)

    async def stream(self, *args: Any, **kwargs: Any) -> Any:
        """Rows in partitions, without ever holding all of them."""
        options = {**kwargs.pop("execution_options", {}), "stream_results": True}
        return InlineStream(self.sync_session.execute(*args, execution_options=options, **kwargs))

    async def connection(self, *_args: Any, **_kwargs: Any) -> AsyncConnection:
        """What this session talks through."""
        return inline(self.sync_session.connection())

    @contextmanager
    def used(self) -> Iterator[AsyncSession]:
        """Closed at the end."""
        try:
            yield self
        finally:
            self.sync_session.close()


class InlineConnection(Inline):
    """See AsyncConnection."""

    def __init__(self, connection: Connection) -> None:
        self.sync_connection = self._asked = connection

    async def exec_driver_sql(self, *args: Any, **kwargs: Any) -> CursorResult[Any]:
        """See AsyncConnection."""
        return self.sync_connection.exec_driver_sql(*args, **kwargs)

    @property
    def dialect(self) -> Dialect:
        """See AsyncConnection."""
        return self.sync_connection.dialect

    async def run_sync(self, asked: Callable[[Connection], Found]) -> Found:
        """See AsyncConnection."""
        return asked(self.sync_connection)


def inline(connection: Connection) -> AsyncConnection:
    """The connection for code that awaits."""
    return cast("AsyncConnection", InlineConnection(connection))


class InlineStream:
    """See AsyncResult."""

    def __init__(self, result: Result[Any]) -> None:
        self._result = result

    async def partitions(self, size: int) -> AsyncIterator[Sequence[Any]]:
        """Rows, `size` at a time."""
        for rows in self._result.partitions(size):
            yield rows


class _Here(threading.local):
    """The loop for which this thread runs a method, if it does."""

    loop: asyncio.AbstractEventLoop | None = None


_here = _Here()


class Threads:
    """Runs the store's methods in the order in which they were called; long ones beside them."""

    def __init__(self) -> None:
        self._usual = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._long = ThreadPoolExecutor(1, thread_name_prefix="store_long")

    def submit(self, method: Coroutine[Any, Any, Found], *, long: bool) -> asyncio.Future[Found]:
        """Begin; the method must wait for nothing but the database."""
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        pool = self._long if long else self._usual
        return loop.run_in_executor(pool, context.run, _drive, method, loop)

    def close(self) -> None:
        """End the threads, which must have nothing left to do."""
        self._usual.shutdown(wait=False)
        self._long.shutdown(wait=False)


def inside() -> bool:
    """Whether this thread runs a method of the store."""
    return _here.loop is not None


async def outside(asked: Callable[[], Awaitable[Found]]) -> Found:
    """What has to wait for other things than the database, from inside or not."""

    async def ask() -> Found:
        return await asked()

    if _here.loop is None:
        return await ask()
    return asyncio.run_coroutine_threadsafe(ask(), _here.loop).result()


def _drive(method: Coroutine[Any, Any, Found], loop: asyncio.AbstractEventLoop) -> Found:
    _here.loop = loop
    try:
        method.send(None)
    except StopIteration as done:
        return cast("Found", done.value)
    finally:
        _here.loop = None
    method.close()
    raise RuntimeError("A method of the store waited for something that is not the database.")
