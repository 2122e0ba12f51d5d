"""Whether anything was lost, doubled or out of order, and how long the bot took, in numbers."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select

from bot.clock import system_clock
from bot.playground.state import person_id
from bot.store.store import Store
from bot.store.tables import InboxUpdate
from tests.faults.crowd.scene import Scene
from tests.faults.crowd.words import mark_of, number_of, person_of


@dataclass(frozen=True)
class Turn:
    """What one turn cost the bot itself, in seconds; the model's own time is in none of them."""

    said: float
    until_asked: float
    until_arrived: float
    whole: float


def turns(scene: Scene, marks: Iterable[str]) -> list[Turn]:
    """Turns that were answered. A turn behind the person's own last one begins when that ended."""
    asked, spoken = dict(scene.noted("asked")), dict(scene.noted("spoken"))
    handed, arrived = scene.watching.handed, scene.watching.arrived
    found = []
    for mark in marks:
        if not (mark in arrived and mark in asked and mark in spoken and mark in handed):
            continue
        before = arrived.get(mark_of(person_of(mark), number_of(mark) - 1), 0.0)
        model_s = spoken[mark] - asked[mark]
        found.append(
            Turn(
                scene.said[mark],
                asked[mark] - max(handed[mark], before),
                arrived[mark] - spoken[mark],
                arrived[mark] - max(scene.said[mark], before) - model_s,
            )
        )
    return found


async def wrongs(scene: Scene) -> dict[str, int]:
    """Counts of what must be 0. `scene` is closed: the database is looked at as well."""
    standing = scene.final_texts()
    found = Counter(mark for marks in standing.values() for mark in marks)
    numbers = [[number_of(mark) for mark in marks] for marks in standing.values()]
    store = await Store.open(f"sqlite:///{scene.folder / 'lanner.db'}", scene.folder, system_clock)
    flooder = person_id(f"person {scene.people}")
    kept = select(func.count()).select_from(InboxUpdate)
    # What still waits in the flooder's own line goes on at the next start.
    left = kept.where(InboxUpdate.state != "done", InboxUpdate.chat_id != flooder)
    async with store.sessions.read() as session:
        on_disk, still_open = await session.scalar(kept) or 0, await session.scalar(left) or 0
    await store.close()
    return {
        "lost": len(set(scene.said) - scene.refusable() - set(found)),
        "doubled": sum(found.values()) - len(found),
        "out of order": sum(a > b for line in numbers for a, b in itertools.pairwise(line)),
        "not on disk": len(scene.said) - on_disk,
        "left open": still_open,
    }


def percentile(values: Iterable[float], share: float) -> float:
    """By nearest rank; NaN where nothing was measured."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def slope(samples: list[tuple[float, float]]) -> float:
    """Least squares: units a minute."""
    n = len(samples)
    mean_x, mean_y = sum(x for x, _ in samples) / n, sum(y for _, y in samples) / n
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0
