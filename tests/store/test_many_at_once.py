"""Many writers, cancelled writers, several processes, and a process that is killed."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bot.store.store import Store
from tests.store.house import Hands, open_store, talk, update

ROOT = Path(__file__).parents[2]

# Writes messages and updates until it is killed; says each number once it is committed.
WRITER = """
import asyncio, sys
from pathlib import Path
from bot.clock import system_clock
from bot.store.store import Store

async def main(folder, name, last):
    store = await Store.open(f"sqlite:///{folder}/lanner.db", folder, system_clock)
    talk = await store.conversation(name, name)
    for number in range(last):
        await store.receive([{"update_id": number}] if name == 1 else [])
        await store.add_message(talk.id, "user", str(number))
        print(number, flush=True)
    await store.close()

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
"""


def start(folder: Path, name: int, last: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(name), str(last)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_two_hundred_writers_at_once_lose_nothing(store: Store) -> None:
    talks = [await talk(store, person) for person in range(1, 11)]
    await asyncio.gather(
        *(store.add_message(talks[n % 10], "user", str(n)) for n in range(200)),
        *(store.receive([update(n)]) for n in range(100)),
        *(store.history(talks[n % 10]) for n in range(100)),
    )
    kept = [await store.history(number) for number in talks]
    assert [[int(m.text) for m in history] for history in kept] == [
        list(range(first, 200, 10)) for first in range(10)
    ]
    assert len(await store.open_updates()) == 100


async def test_cancelled_writers_leave_no_lock_behind(store: Store) -> None:
    number, rng = await talk(store, 1), random.Random(1)
    for _ in range(15):
        tasks = [asyncio.create_task(store.add_message(number, "user", str(n))) for n in range(6)]
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        for task in rng.sample(tasks, 3):
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        ids = {each for each in done if isinstance(each, int)}
        assert ids <= {m.id for m in await store.history(number)}
    async with asyncio.timeout(5):
        await store.add_message(number, "user", "after")


async def test_several_processes_write_into_one_database(store: Store, tmp_path: Path) -> None:
    writers = [start(tmp_path, name, 40) for name in (1, 2, 3)]
    for writer in writers:
        await asyncio.to_thread(writer.communicate)
        assert writer.returncode == 0
    for name in (1, 2, 3):
        talked = await store.conversation(name, name)
        assert [m.text for m in await store.history(talked.id)] == [str(n) for n in range(40)]


@pytest.mark.slow
async def test_what_was_committed_survives_kills_at_any_moment(
    tmp_path: Path, clock: Hands
) -> None:
    rng, told = random.Random(7), 0
    for _ in range(6):
        writer = start(tmp_path, 1, 10**6)
        wanted = rng.randrange(1, 120)
        assert writer.stdout
        for _ in range(wanted):
            await asyncio.to_thread(writer.stdout.readline)
        writer.send_signal(signal.SIGKILL)
        rest = await asyncio.to_thread(writer.stdout.read)
        writer.stdout.close()
        assert writer.wait() == -signal.SIGKILL
        told += wanted + rest.count("\n")
        store = await open_store(tmp_path, clock)
        talked = await store.conversation(1, 1)
        kept = len(await store.history(talked.id))
        # The last one may have been committed and not yet told.
        assert told <= kept <= told + 1
        told = kept
        await store.close()
        with closing(sqlite3.connect(tmp_path / "lanner.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_the_files_are_kept_as_promised(store: Store) -> None:
    async with store._sessions.read() as session:
        connection = await session.connection()
        found = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "secure_delete", "synchronous")
        ]
    assert found == ["wal", 1, 1, 2]
    await store.compact()
    async with store._sessions.write() as session:
        connection = await session.connection()
        assert (await connection.exec_driver_sql("PRAGMA busy_timeout")).scalar() == 10_000


async def test_only_what_an_open_update_would_write_again_is_not_waited_for(store: Store) -> None:
    async def level(*, repeatable: bool) -> int:
        async with store.sessions.write(repeatable=repeatable) as session:
            connection = await session.connection()
            return int((await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one())

    # Connections are used again: the level must follow the write, not the connection.
    found = [await level(repeatable=each) for each in (False, True, False, True, True, False)]
    assert found == [2, 1, 2, 1, 1, 2]
