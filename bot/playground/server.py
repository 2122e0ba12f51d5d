"""The local Bot API server and the page's own API, over HTTP on loopback.

A bot cannot tell it from Telegram's. Knows HTTP; what a method means is in
methods.py. Other hosts' pages are refused: the chat is a private place.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.playground.methods import ApiError, call
from bot.playground.state import World

STATIC = Path(__file__).parent / "static"
LOCAL = ("127.0.0.1", "localhost")


class Playground:
    """`start()` serves until `stop()`; port 0 picks a free one."""

    def __init__(self, token: str, port: int, banner: Callable[[], dict[str, Any]]) -> None:
        self.token, self.port, self.world = token, port, World()
        self._banner = banner
        self._polling = 0
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

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
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            self.app(), log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Close all connections."""
        if self._server and self._task:
            self._server.should_exit = True
            self.world.touch()
            await self._task

    def app(self) -> ASGIApp:
        """The ASGI application."""
        routes = [
            Route("/bot{token}/{method}", self._bot_api, methods=["GET", "POST"]),
            Route("/file/bot{token}/{number}", self._file),
            Route("/play/file/{number}", self._file),
            Route("/play/state", self._state),
            Route("/play/act", self._act, methods=["POST"]),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ]
        return _OnlyHere(Starlette(routes=routes))

    async def _bot_api(self, request: Request) -> Response:
        try:
            if request.path_params["token"] != self.token:
                raise ApiError(401, "Unauthorized")
            method, arguments = request.path_params["method"], await _arguments(request)
            if method.lower() == "getupdates":
                result: Any = await self._get_updates(arguments)
            else:
                result = call(self.world, method, arguments)
        except ApiError as error:
            body = {"ok": False, "error_code": error.code, "description": error.description}
            if error.retry_after is not None:
                body["parameters"] = {"retry_after": error.retry_after}
            return JSONResponse(body, error.code)
        return JSONResponse({"ok": True, "result": result})

    async def _get_updates(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """A long poll; a newer one ends the older with 409, as at Telegram."""
        self._polling = mine = self._polling + 1
        self.world.touch()
        offset = int(arguments.get("offset") or 0)
        for number in [n for n in self.world.updates if n < offset]:
            del self.world.updates[number]
        end = asyncio.get_running_loop().time() + float(arguments.get("timeout") or 0)
        while not self.world.updates:
            left = end - asyncio.get_running_loop().time()
            if left <= 0 or (self._server and self._server.should_exit):
                return []
            changed = self.world.changed
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                return []
            if self._polling != mine:
                raise ApiError(409, "Conflict: terminated by other getUpdates request")
        limit = int(arguments.get("limit") or 100)
        return [self.world.updates[n] for n in sorted(self.world.updates)][:limit]

    async def _file(self, request: Request) -> Response:
        found = self.world.files.get(request.path_params["number"])
        if found is None:
            return Response(status_code=404)
        # Never shown in place: an exported page must not run in this origin.
        headers = {"Content-Disposition": f'attachment; filename="{found[0]}"'}
        return Response(found[1], headers=headers, media_type="application/octet-stream")

    async def _state(self, request: Request) -> Response:
        """Everything that a person's page shows; waits until the world is not at `since`."""
        chat = self.world.chat(request.query_params.get("as", "you")[:64])
        if request.query_params.get("since") == str(self.world.version):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.world.changed.wait(), 20)
        commands = self.world.commands
        return JSONResponse(
            {
                "version": self.world.version,
                "messages": list(chat.messages.values()),
                "draft": chat.draft,
                "action": chat.action,
                "commands": commands.get(f"chat:{chat.id}", commands.get("default", [])),
                "banner": self._banner(),
            }
        )

    async def _act(self, request: Request) -> Response:
        body = await request.json()
        name, kind = str(body.get("as", "you"))[:64], body.get("kind")
        try:
            if kind == "say":
                text = str(body["text"])[:4096]
                return JSONResponse(self.world.say(name, text) if text.strip() else {})
            if kind == "edit":
                self.world.edit(name, int(body["message_id"]), str(body["text"])[:4096])
            elif kind == "press":
                self.world.press(name, int(body["message_id"]), str(body["data"]))
        except (KeyError, ValueError):
            return JSONResponse({"error": "There is no such message."}, 404)
        return JSONResponse({})


class _OnlyHere:
    """Refuses other hosts (DNS rebinding) and other origins (cross-site requests)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            host = request.headers.get("host", "").rsplit(":", 1)[0]
            origin = request.headers.get("origin")
            foreign = origin is not None and origin != f"http://{request.headers.get('host')}"
            if host not in LOCAL or foreign:
                await Response("Only this machine may talk here.", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _arguments(request: Request) -> dict[str, Any]:
    if "json" in request.headers.get("content-type", ""):
        return dict(await request.json())
    found: dict[str, Any] = dict(request.query_params)
    async with request.form() as form:
        for key, value in form.multi_items():
            found[key] = value if isinstance(value, str) else (value.filename, await value.read())
    return found


class _Server(uvicorn.Server):
    """The program owns its signals, not the server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the handlers as they are."""
        yield
