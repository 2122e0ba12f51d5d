"""Who may come in: this machine's own programs and the page itself.

Refuses other hosts (DNS rebinding) and other origins (a site that a person visits must
not read the chat), and forbids the page whatever it does not need.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost")
POLICY = "; ".join(
    [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob:",
        "connect-src 'self'", "frame-src 'self'", "frame-ancestors 'self'", "base-uri 'none'",
        "form-action 'none'",
    ]
)  # fmt: skip
ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Door:
    """In front of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer strangers, pass on whoever belongs here."""
        if scope["type"] == "http" and not _from_here(Request(scope)):
            refusal = PlainTextResponse("Only this machine may talk here.", 403)
            await refusal(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded)


def _from_here(request: Request) -> bool:
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    # A browser says where a request comes from even when it sends no Origin.
    site = request.headers.get("sec-fetch-site", "none")
    own = origin is None or origin == f"http://{host}"
    return host.rsplit(":", 1)[0] in LOCAL and own and site in ("none", "same-origin")
