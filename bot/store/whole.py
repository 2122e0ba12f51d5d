"""A transaction that was begun is finished, also when whoever asked for it is cancelled.

A statement that is cut off leaves its connection holding a lock until the
garbage collector finds it: seen under load. So each of the store's methods runs
in a thread, or a task of its own; cancelling the caller leaves it to end, which
takes milliseconds. Knows nothing of databases.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from bot.store.inline import Threads, inside

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Method = Callable[..., Coroutine[Any, Any, Result]]


class Whole:
    """Public coroutine methods of subclasses are finished once begun; `close` waits for them."""

    # Methods that take long: others go on beside them.
    LONG: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, threads: Threads | None) -> None:
        self._threads = threads
        self._begun: dict[asyncio.Future[Any], float] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            if inspect.iscoroutinefunction(method) and not name.startswith(("_", "close")):
                setattr(cls, name, _finished(method, long=name in cls.LONG))

    def waiting_s(self) -> float:
        """How long the oldest call that is under way has been running; 0 for none."""
        began = min(self._begun.values(), default=None)
        return 0.0 if began is None else time.monotonic() - began

    async def _settle(self) -> None:
        """Wait for what was begun and whose caller is gone."""
        while self._begun:
            await asyncio.wait(set(self._begun))

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._begun.pop(task, None)


def _finished(method: Method[Result], *, long: bool) -> Method[Result]:
    @functools.wraps(method)
    async def run(self: Whole, *args: Any, **kwargs: Any) -> Result:
        asked = method(self, *args, **kwargs)
        if inside():
            return await asked
        task = (
            asyncio.create_task(asked)
            if self._threads is None
            else self._threads.submit(asked, long=long)
        )
        self._begun[task] = time.monotonic()
        task.add_done_callback(self._forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_note)
            raise

    return run


def _note(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("A transaction failed after its caller was gone: %s", type(error).__name__)
