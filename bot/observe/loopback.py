"""A page on this machine only: refuses other hosts' names and other sites' requests.

A page in the operator's browser could otherwise ask for it (DNS rebinding,
cross-site requests). Knows ASGI; knows nothing of what is served.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost", "[::1]")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class OnlyHere:
    """Middleware around a page that nobody else's page may read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from here, refuse the rest."""
        if scope["type"] == "http" and _foreign(Request(scope)):
            await Response("Only this machine may look here.", 403)(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive, guarded)


def _foreign(request: Request) -> bool:
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    return name not in HOSTS or origin not in (None, f"http://{host}")
