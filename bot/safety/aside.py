"""The gate in a thread of its own: the event loop goes on while words are read.

Reading takes tens of milliseconds of processor time, and everybody would wait
for everybody's. One thread, so that the loop always has its share. What was
read once the gate remembers, and may then be asked for where nothing waits.
Knows the gate alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from bot.safety.types import Assessment, Gate, HistoryTurn, Level


class Aside:
    """One for all people."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gate")

    async def assess(
        self, text: str, history: tuple[HistoryTurn, ...] = (), held: Level = Level.NONE
    ) -> Assessment:
        """See `Gate.assess`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._gate.assess, text, history, held)

    async def read(self, texts: Iterable[str]) -> None:
        """Read these, for the gate to remember."""
        for text in texts:
            if text:  # one by one: who floods is read between others, not before them
                await self.assess(text)

    def close(self) -> None:
        """Let the thread go; what it still reads nobody waits for."""
        self._thread.shutdown(wait=False, cancel_futures=True)
