"""A disk that is full: the store says so, loses nothing that it said yes to, and goes on after."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bot.clock import system_clock
from bot.store.store import Store

ROOT = Path(__file__).parents[2]

# Writes until the disk is full (files may not grow past the limit), then until there is room.
WRITER = """
import asyncio, resource, sys
from pathlib import Path
from sqlalchemy.exc import OperationalError
from bot.clock import system_clock
from bot.store.store import Store

async def main(home):
    store = await Store.open(f"sqlite:///{home}/lanner.db", home, system_clock)
    talk = await store.conversation(1, 1)
    told, hard = 0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, hard))
    try:
        for number in range(1000):
            await store.receive([{"update_id": number, "message": {"text": "x" * 3000}}])
            told = number + 1
    except OperationalError:
        print("full", flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for number in range(told, told + 5):
        await store.receive([{"update_id": number, "message": {"text": "later"}}])
    print(told, flush=True)
    await store.close()

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_full_disk_loses_nothing_that_was_said_to_be_kept(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    full, told = done.stdout.split()
    assert full == "full"
    assert 0 < int(told) < 1000
    store = await Store.open(f"sqlite:///{tmp_path}/lanner.db", tmp_path, system_clock)
    kept = [update["update_id"] for update in await store.open_updates()]
    assert kept == list(range(int(told) + 5))
    await store.close()
