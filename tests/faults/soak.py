"""`python -m tests.faults.soak`: the durability promises at their full figures.

By default 10,000 updates and 200 kills on each of SQLite and PostgreSQL, with
a stand-in for the bot over the real store. `--whole` kills the real bot, with
a scripted model and people in front of it, on SQLite. `--fuzz` pours that many
batches of hostile updates into the real bot. Says what was lost, doubled or
out of order, and ends with 1 if anything was.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bot.clock import system_clock
from bot.store.store import Store
from bot.store.tables import InboxUpdate
from tests.faults.answering import answer_forever, feed, finished, judge
from tests.faults.forking import kill, start
from tests.faults.whole import kills_of_the_whole_bot
from tests.postgres.server import MISSING, Server, find

EXAMPLES = "LANNER_FUZZ_BATCHES"
NOTHING_WRONG = {"lost": 0, "doubled": 0, "out of order": 0}
CHATS = 20
Verdict = tuple[dict[str, int], int]


async def kills_on_sqlite(folder: Path, rng: random.Random, *, updates: int, kills: int) -> Verdict:
    """One process at a time, killed and started again."""
    url = f"sqlite:///{folder}/lanner.db"
    return await _kills(url, folder, rng, updates, kills, side_by_side=1)


async def kills_on_postgres(
    url: str, folder: Path, rng: random.Random, *, updates: int, kills: int
) -> Verdict:
    """Three processes share the inbox; one of them is killed and started again each time."""
    return await _kills(url, folder, rng, updates, kills, side_by_side=3)


async def _kills(
    url: str, folder: Path, rng: random.Random, updates: int, kills: int, *, side_by_side: int
) -> Verdict:
    store = await Store.open(url, folder, system_clock)
    processes = [start(answer_forever, url, str(folder)) for _ in range(side_by_side)]
    try:
        feeding = asyncio.create_task(feed(store, rng, range(updates), CHATS))
        for _ in range(kills):
            await _some_progress(store, rng)
            _replace(processes, rng, url, folder)
        await feeding
        await finished(store, 600)
        return await judge(store, updates, CHATS)
    finally:
        for process in processes:
            kill(process)
        await store.close()


def _replace(processes: list[BaseProcess], rng: random.Random, url: str, folder: Path) -> None:
    kill(processes.pop(rng.randrange(len(processes))))
    processes.append(start(answer_forever, url, str(folder)))


async def _some_progress(store: Store, rng: random.Random) -> None:
    """A kill before anything was done would test nothing; after, any moment may be it."""
    before, end = await _answered(store), time.monotonic() + 60
    while time.monotonic() < end and await _answered(store) == before:
        await asyncio.sleep(0.01)
    await asyncio.sleep(rng.random() * 0.1)


async def _answered(store: Store) -> int:
    async with store.sessions.read() as session:
        done = select(func.count()).where(InboxUpdate.state == "done")
        return await session.scalar(done) or 0


async def _report(name: str, running: asyncio.Task[Verdict], updates: int, kills: int) -> bool:
    began = time.monotonic()
    wrong, hands = await running
    said = ", ".join(f"{count} {what}" for what, count in wrong.items())
    took = time.monotonic() - began
    sys.stdout.write(
        f"{name}: {updates} updates, {kills} kills, {hands} processes answered: {said} "
        f"({took:.0f} s)\n"
    )
    return wrong == NOTHING_WRONG


async def main(updates: int, kills: int, seed: int) -> int:
    """Both databases; 1 when a promise was broken."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        running = kills_on_sqlite(Path(folder), random.Random(seed), updates=updates, kills=kills)
        good &= await _report("SQLite", asyncio.create_task(running), updates, kills)
    if find("initdb") is None:
        sys.stdout.write(f"PostgreSQL: skipped, {MISSING}\n")
        return int(not good)
    server = Server()
    await asyncio.to_thread(server.start)
    try:
        with tempfile.TemporaryDirectory() as folder:
            there = kills_on_postgres(
                await server.database(), Path(folder), random.Random(seed),
                updates=updates, kills=kills,
            )  # fmt: skip
            good &= await _report("PostgreSQL", asyncio.create_task(there), updates, kills)
    finally:
        server.stop()
    return int(not good)


async def whole(updates: int, kills: int, seed: int) -> int:
    """The real bot's process; 1 when a promise was broken."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        wrong, resumed, lost = await kills_of_the_whole_bot(
            Path(folder), random.Random(seed), updates=updates, kills=kills
        )
        said = ", ".join(f"{count} {what}" for what, count in wrong.items())
        log = (Path(folder) / "bot.log").read_text("utf-8", "replace")
    sys.stdout.writelines(f"{each}\n" for each in lost)
    leaked = re.search(r"number \d", log) is not None
    resumed.sort()
    sys.stdout.write(
        f"whole bot on SQLite: {updates} updates, {kills} kills: {said} "
        f"({time.monotonic() - began:.0f} s); from a start to the next reply: "
        f"median {resumed[len(resumed) // 2]:.1f} s, longest {resumed[-1]:.1f} s; "
        f"words in the log: {'yes' if leaked else 'none'}\n"
    )
    return int(wrong != NOTHING_WRONG or leaked)


def fuzz(batches: int) -> int:
    """The fuzz tests with more examples, drawn anew each time; pytest's exit code."""
    os.environ[EXAMPLES] = str(batches)
    return int(pytest.main(["-q", "--timeout=0", str(Path(__file__).with_name("test_fuzz.py"))]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--fuzz", type=int, metavar="BATCHES")
    asked = parser.parse_args()
    if asked.fuzz:
        sys.exit(fuzz(asked.fuzz))
    run = whole if asked.whole else main
    sys.exit(asyncio.run(run(asked.updates, asked.kills, asked.seed)))
