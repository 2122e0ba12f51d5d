"""The real bot in a process of its own, with a scripted model that writes down when it is asked.

`python -m tests.faults.crowd.bot MOMENTS THINK_S WORDS WORD_S`: everything but
the model and the gate's verdict is the program's own. Each line of MOMENTS is a
name, a turn's mark and a time of the machine's monotonic clock, which all
processes share.
"""

from __future__ import annotations

import gc

gc.disable()  # importing makes what stays: to look at it again and again took half a second

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.app import LATER, Lanner
from bot.loop import run
from bot.safety.gate import SafetyGate
from bot.safety.types import Assessment, HistoryTurn, Level
from bot.settings import Settings, read_settings
from bot.store.store import Store
from model.types import Cancelled, Done, Event, Request, Text
from tests.bot.fakes import ScriptedModel
from tests.faults.crowd.words import SPOKEN, mark_in, words_before


class Moments:
    """Lines that survive kill -9: each is one unbuffered write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, name: str, mark: str, value: float | None = None) -> None:
        """By default the value is now."""
        at = time.monotonic() if value is None else value
        os.write(self._file, f"{name} {mark} {at:.6f}\n".encode())


class CrowdModel(ScriptedModel):
    """Thinks, then says its words one by one; the last one carries the turn's mark."""

    def __init__(self, moments: Moments, think_s: float, words: int, word_s: float) -> None:
        super().__init__()
        self._moments, self._think_s, self._words, self._word_s = moments, think_s, words, word_s
        self._gone: set[str] = set()

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        mark, said = mark_in(request.turns[-1].text), ""
        self._moments.note("asked", mark)
        await asyncio.sleep(self._think_s)
        for piece in words_before(self._words):
            if request.id in self._gone:
                yield Cancelled(said)
                return
            said += piece
            yield Text(piece)
            await asyncio.sleep(self._word_s)
        yield Text(SPOKEN + mark)
        self._moments.note("spoken", mark)
        yield Done(said + SPOKEN + mark, "stop", "scripted", None, 3, self._words, 0, 0.0, 0.0, 0.0)

    def cancel(self, request_id: str) -> bool:
        self._gone.add(request_id)
        return True


class CalmGate(SafetyGate):
    """Reads all, at its full cost, and lets every message through: each must have its own reply.

    A fixed text carries no mark; the classifier takes some of these everyday words for danger.
    """

    def complete(self) -> None:
        """Both readers are there."""
        super().complete()
        TimedStore.moments.note("whole", "-")

    def assess(
        self, text: str, history: tuple[HistoryTurn, ...] = (), held: Level = Level.NONE
    ) -> Assessment:
        found = super().assess(text, history, held)
        return replace(found, level=Level.NONE, refuse=None)


class TimedStore(Store):
    """Writes down how long each batch takes until it is on disk."""

    moments: Moments

    async def receive(self, updates: list[dict[str, Any]]) -> list[dict[str, Any]]:
        began = time.monotonic()
        fresh = await super().receive(updates)
        if updates:
            self.moments.note("kept", str(len(updates)), time.monotonic() - began)
        return fresh


async def serve(settings: Settings, model: CrowdModel) -> None:
    """Until SIGTERM, as `bot.__main__` does."""
    lanner = Lanner(settings, model, open_store=TimedStore.open, gate=CalmGate.open(load=LATER))
    await lanner.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    running, waiting = asyncio.create_task(lanner.run()), asyncio.create_task(ended.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    await lanner.stop()


def main(path: str, think_s: str, words: str, word_s: str) -> None:
    """The program."""
    moments = TimedStore.moments = Moments(Path(path))
    model = CrowdModel(moments, float(think_s), int(words), float(word_s))
    run(serve(read_settings(), model))


if __name__ == "__main__":
    main(*sys.argv[1:])
