"""A bot's side of the local server for tests: plain calls over real HTTP, and a clock by hand."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import httpx

from bot.playground.faults import Faults
from bot.playground.server import Playground
from bot.playground.state import World

TOKEN = "1:test"


class Refused(Exception):
    """Telegram's error answer."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(f"{body['error_code']} {body['description']}")
        self.code, self.words = body["error_code"], body["description"]
        self.retry_after = body.get("parameters", {}).get("retry_after")


class Telegram:
    """A running server; `await telegram("sendMessage", chat_id=…)` is a bot's call."""

    def __init__(self, keep: Path | None = None) -> None:
        self.now = 1_800_000_000.0
        self.banner = "a model"
        self.faults = Faults()
        self.playground = Playground(
            TOKEN, 0, lambda: {"text": self.banner}, keep=keep, faults=self.faults,
            webhook_retry_s=0.02, clock=lambda: self.now,
        )  # fmt: skip
        self.http = httpx.AsyncClient(timeout=30, trust_env=False, verify=False)  # noqa: S501

    @property
    def world(self) -> World:
        return self.playground.world

    @property
    def url(self) -> str:
        return self.playground.url

    async def open(self) -> None:
        await self.playground.start()

    async def close(self) -> None:
        await self.http.aclose()
        await self.playground.stop()

    async def __call__(self, method: str, **arguments: Any) -> Any:
        answer = await self.http.post(f"{self.url}bot{TOKEN}/{method}", json=arguments)
        body = answer.json()
        if not body["ok"]:
            assert answer.status_code == body["error_code"]
            raise Refused(body)
        return body["result"]

    async def updates(self, offset: int = 0, **more: Any) -> list[dict[str, Any]]:
        return list(await self("getUpdates", offset=offset, **more))

    async def page(self, who: str = "you", **more: Any) -> dict[str, Any]:
        answer = await self.http.get(f"{self.url}play/state", params={"as": who, **more})
        return dict(answer.json())

    async def act(self, kind: str, who: str = "you", **more: Any) -> httpx.Response:
        return await self.http.post(f"{self.url}play/act", json={"as": who, "kind": kind, **more})


def png(width: int = 3, height: int = 2) -> bytes:
    """A real, tiny picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        size, check = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(kind + data))
        return size + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x2f\x7d\x74" * width) * height
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )
