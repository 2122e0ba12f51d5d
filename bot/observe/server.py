"""Health, metrics and the operator's dashboard, over HTTP on loopback.

    /healthz    200 while the process answers at all
    /readyz     200 when people can be answered, else 503 with the reasons
    /metrics    for Prometheus
    /readings   what the dashboard shows, as JSON
    /           the dashboard

Knows HTTP; what is read is in snapshot.py. Nobody's words come this way.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from bot.observe.gauges import watch
from bot.observe.loopback import OnlyHere
from bot.observe.metrics import Metrics
from bot.observe.snapshot import Sources, checks, snapshot
from bot.serving import LOOPBACK, Server, listen

STATIC = Path(__file__).parent / "static"


class DashboardServer:
    """`start()` serves until `stop()`; port 0 picks a free one."""

    def __init__(self, port: int, metrics: Metrics, sources: Sources) -> None:
        self.port = port
        self._metrics, self._sources = metrics, sources
        watch(metrics.registry, sources)
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The dashboard's address."""
        return f"http://{LOOPBACK}:{self.port}/"

    async def start(self) -> None:
        """Bind and serve; raises OSError when the port is taken."""
        listening = listen(self.port)
        self.port = listening.getsockname()[1]
        app = OnlyHere(self._app())
        self._server = Server(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        )
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Close all connections."""
        if self._server and self._task:
            self._server.should_exit = True
            await self._task

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/readyz", self._ready),
                Route("/metrics", self._prometheus),
                Route("/readings", self._readings),
                Mount("/", StaticFiles(directory=STATIC, html=True)),
            ]
        )

    async def _health(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _ready(self, _request: Request) -> Response:
        held = await checks(self._sources)
        code = 200 if all(check.ok for check in held) else 503
        return JSONResponse({"checks": [asdict(check) for check in held]}, code)

    async def _prometheus(self, _request: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def _readings(self, _request: Request) -> Response:
        return JSONResponse(await snapshot(self._sources, self._metrics))
