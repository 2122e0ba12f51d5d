"""A scripted model that tests drive, behind the port that the bot knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from model.types import (
    AdapterInfo,
    AdapterRefused,
    Cancelled,
    Done,
    Event,
    Failed,
    ModelStatus,
    ModelUnavailable,
    Queued,
    Request,
    State,
    Text,
)


class ScriptedModel:
    """Says `script` word by word; waits before the last word while `held`."""

    def __init__(self, script: str = "I hear you. Tell me more.") -> None:
        self.script, self.fails = script, False
        self.asked: list[Request] = []
        self.queued: Queued | None = None
        self.state: State = "ready"
        self.adapter: str | None = None
        self.base = "scripted"
        self.died = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self._cancelled: dict[str, asyncio.Event] = {}

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to release."""

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        self.asked.append(request)
        cancelled = self._cancelled[request.id] = asyncio.Event()
        if self.fails:
            yield Failed("The machine is out of breath. Please send /retry.")
            return
        if self.queued is not None:
            yield self.queued
        words, said = self.script.split(" "), ""
        for number, word in enumerate(words):
            if number == len(words) - 1:
                waits = [asyncio.create_task(e.wait()) for e in (self.free, cancelled)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
            if cancelled.is_set():
                yield Cancelled(said)
                return
            piece = word if not said else f" {word}"
            said += piece
            yield Text(piece)
        yield Done(said, "stop", "scripted", None, 3, len(words), 0, 0.0, 0.0, 0.0)

    def cancel(self, request_id: str) -> bool:
        if request_id not in self._cancelled:
            return False
        self._cancelled[request_id].set()
        return True

    async def reload(self, adapter: str | None, *, force: bool = False) -> ModelStatus:
        known = {each.name: each for each in self.adapters()}
        if adapter is not None and adapter not in known:
            raise AdapterRefused(f"There is no adapter {adapter}.")
        if adapter is not None and known[adapter].verdict == "no-go" and not force:
            raise AdapterRefused(f"The adapter {adapter} was judged no-go.")
        self.adapter = adapter
        return self.status()

    async def reload_base(self, model: str) -> ModelStatus:
        if model == "missing":
            raise ModelUnavailable("There is no model missing.")
        self.base = model
        return self.status()

    async def failed(self) -> str:
        await self.died.wait()
        return "The device has died."

    def adapters(self) -> Sequence[AdapterInfo]:
        here = Path("here")
        return [
            AdapterInfo("good", here, "a" * 64, "base", "", "go"),
            AdapterInfo("bad", here, "b" * 64, "base", "", "no-go", ("It lost its warmth.",)),
        ]

    def status(self) -> ModelStatus:
        return ModelStatus(
            self.state,
            self.base,
            0,
            "cpu",
            "script",
            True,
            self.adapter,
            None,
            1,
            0,
            0,
            1,
            512,
            0.0,
            0,
        )
