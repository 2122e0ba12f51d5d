"""Ends a connection without an answer, as a dying network does.

The one place that reaches below HTTP, to uvicorn's transports. Knows no method.
"""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]


class Lines:
    """The open connections by the caller's address."""

    def __init__(self) -> None:
        self.open: dict[Address, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """uvicorn's own, that also notes its connections here."""
        lines = self.open

        class Noted(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client:
                    lines[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client:
                    lines.pop(self.client, None)
                super().connection_lost(exc)

        return Noted

    def hang_up(self) -> Response:
        """An answer that is none."""
        return _HangUp(self)


class _HangUp(Response):
    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        transport = self._lines.open.get(tuple(scope["client"]))
        if transport:
            transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
