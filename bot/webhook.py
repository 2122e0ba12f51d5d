"""Telegram's updates by webhook, into the same inbox: 200 only when they are on disk.

Serves one path on one port, for a proxy with TLS in front. The secret is
compared in constant time, and a request without it learns nothing. Knows
HTTP; knows nothing of what updates mean.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import Bot

from bot import raw
from bot.inbox import STORE_DOWN, Inbox, StoreFailed
from bot.patience import patiently
from bot.serving import Server

PATH = "/telegram"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
MOST_BYTES = 1_000_000
log = logging.getLogger(__name__)


class Webhook:
    """`run()` until cancelled; `url` is the public address that Telegram calls."""

    def __init__(
        self, inbox: Inbox, store_failed: StoreFailed, url: str, secret: str, host: str, port: int
    ) -> None:
        self._inbox, self._store_failed = inbox, store_failed
        self._url, self._secret, self._host, self._port = url, secret, host, port
        self._last: float | None = None

    def age_s(self) -> float | None:
        """Seconds since Telegram last called; None before the first."""
        return None if self._last is None else time.monotonic() - self._last

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Route(PATH, self._receive, methods=["POST"])])

    async def run(self, bot: Bot) -> None:
        """Serve, and tell Telegram where; raises OSError when the port is taken."""
        config = uvicorn.Config(
            self.app(), self._host, self._port, log_config=None, access_log=False,
            timeout_graceful_shutdown=3,
        )  # fmt: skip
        server = Server(config)
        serving = asyncio.create_task(self._serve(server), name="webhook")
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            if server.started:
                await self._announce(bot)
            # Not awaited itself: a cancelled server would leave its socket open.
            await asyncio.wait({serving})
            serving.result()
        finally:
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)

    async def _announce(self, bot: Bot) -> None:
        await patiently(
            lambda: bot.set_webhook(
                f"{self._url.rstrip('/')}{PATH}",
                secret_token=self._secret,
                allowed_updates=raw.KINDS,
            )
        )

    async def _serve(self, server: uvicorn.Server) -> None:
        try:
            await server.serve()
        except SystemExit:
            # uvicorn's way to say that it cannot listen.
            raise OSError(None, f"port {self._port} is taken") from None

    async def _receive(self, request: Request) -> Response:
        given = request.headers.get(HEADER, "")
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            return Response(status_code=403)
        update = await _update(request)
        if update is None:
            return Response(status_code=400)
        try:
            await self._inbox.take([update])
        except STORE_DOWN as error:
            await self._store_failed([update], error)
            return Response(status_code=503)
        self._last = time.monotonic()
        return Response(status_code=200)


async def _update(request: Request) -> raw.Raw | None:
    """The update that the request holds; None where it is none, or too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if raw.is_update(found) else None
