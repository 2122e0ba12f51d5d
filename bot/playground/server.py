"""The local Bot API server and its page, on loopback.

A bot cannot tell it from Telegram's. Puts the parts together and keeps strangers out;
what a method means is in methods/, what the page asks in page.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from bot.playground.arguments import Arguments
from bot.playground.calls import Calls
from bot.playground.cutting import Lines
from bot.playground.door import Door
from bot.playground.errors import ApiError
from bot.playground.faults import Cut, Faults
from bot.playground.hooks import Hooks
from bot.playground.keeping import Keeping
from bot.playground.page import Page
from bot.playground.state import World
from bot.serving import Server, listen


class Playground:
    """`start()` serves until `stop()`; port 0 picks a free one.

    `keep` is a folder in which chats outlive the program; `faults` is for tests.
    """

    def __init__(
        self,
        token: str,
        port: int,
        banner: Callable[[], dict[str, Any]],
        *,
        keep: Path | None = None,
        faults: Faults | None = None,
        webhook_retry_s: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token, self.port, self.world = token, port, World(clock)
        self.faults = faults or Faults()
        self._lines = Lines()
        self._keeping = Keeping(self.world, keep) if keep else None
        settle = self._keeping.save if self._keeping else lambda: None
        self._calls = Calls(self.world, token, self.faults, self._lines, settle)
        self._page = Page(self.world, banner, settle)
        self._hooks = Hooks(self.world, self._answered, webhook_retry_s)
        self._server: uvicorn.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        """The page."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def base_url(self) -> str:
        """For ApplicationBuilder.base_url."""
        return f"{self.url}bot"

    async def start(self) -> None:
        """Bind and serve; raises OSError when the port is taken."""
        await self.up()
        if self._keeping:
            self._keeping.load()
            self._keeping.start()
        self._tasks.append(asyncio.create_task(self._hooks.run(), name="webhook"))

    async def stop(self) -> None:
        """Close all connections; keep what is to be kept."""
        await self.down()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._keeping:
            await self._keeping.stop()

    async def up(self) -> None:
        """Listen, and remember the port."""
        listening = listen(self.port)
        self.port = listening.getsockname()[1]
        self.world.updates.closing = False
        config = uvicorn.Config(
            self.app(), http=self._lines.protocol(), log_config=None, access_log=False,
            timeout_graceful_shutdown=1, lifespan="off",
        )  # fmt: skip
        self._server = Server(config)
        self._tasks.append(asyncio.create_task(self._server.serve([listening]), name="page"))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)

    async def down(self) -> None:
        """Refuse connections until `up`, as an unreachable Telegram does; the world stays."""
        if self._server is None:
            return
        self._server.should_exit = self.world.updates.closing = True
        self.world.updates.wake()
        self.world.touch()
        serving = next(task for task in self._tasks if task.get_name() == "page")
        self._tasks.remove(serving)
        await serving
        self._server = None

    def app(self) -> ASGIApp:
        """The ASGI application."""
        return Door(Starlette(routes=[*self._calls.routes(), *self._page.routes()]))

    async def _answered(self, body: dict[str, Any]) -> None:
        """A method that the bot put into its answer to the webhook; its result goes nowhere."""
        with suppress(ApiError, Cut):
            await self._calls.run(str(body["method"]), Arguments(body))
