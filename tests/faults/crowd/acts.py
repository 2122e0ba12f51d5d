"""What the crowd does: talk for a while, bear with somebody who floods, see the bot killed.

People send at random moments of a period, whether or not the last reply has
come: a slow bot is not given time by people who wait for it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests.faults.crowd.scene import PATIENCE_S, Scene


@dataclass
class Memory:
    """The bot's resident memory over time: seconds and MB."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    async def watch(self, scene: Scene, every_s: float = 1.0) -> None:
        """Until cancelled."""
        began = time.monotonic()
        while True:
            with suppress(OSError):
                self.samples.append((time.monotonic() - began, scene.memory_mb()))
            await asyncio.sleep(every_s)


async def talk(scene: Scene, turns: int, seconds: float, *, flood: int = 0) -> list[str]:
    """Everybody sends `turns` messages within `seconds`; returns the marks of all but the flood."""
    rng, began = scene.rng, time.monotonic()
    moments = [(rng.uniform(0, seconds), person) for person in range(scene.people)] * turns
    moments = sorted((rng.uniform(0, seconds), person) for _, person in moments)
    moments += [(seconds * n / flood, scene.people) for n in range(flood)]
    marks = []
    for at, person in sorted(moments):
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        mark = scene.say(person)
        if person != scene.people:
            marks.append(mark)
    await scene.settled()
    return marks


async def killed(scene: Scene, people: int) -> tuple[int, float, float]:
    """Kill the bot while replies are being written.

    Returns how many turns were open, and how long after the new start the first and the last of
    them went on.
    """
    marks = {scene.say(person) for person in range(min(people, scene.people))}
    async with asyncio.timeout(PATIENCE_S):
        while not len(marks & {mark for mark, _ in scene.noted("asked")}) * 2 >= len(marks):
            await asyncio.sleep(0.01)
    await scene.kill()
    opened = marks & set(scene.watching.handed) - set(scene.watching.arrived)
    began = time.monotonic()
    await scene.start()
    await scene.settled()
    again = {mark: at for mark, at in scene.noted("asked") if at > began and mark in opened}
    resumed = [
        min(again.get(mark, float("inf")), scene.watching.arrived[mark]) - began for mark in opened
    ]
    return len(opened), min(resumed, default=0.0), max(resumed, default=0.0)
