"""Methods of the store in one thread: in order, finished, and waiting for nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.clock import system_clock
from bot.store.inline import InlineSession, inside, outside
from bot.store.store import Store
from tests.store.house import Hands, open_store


class Watched(Store):
    """Says where it ran."""

    ran: list[str]

    async def note(self, name: str) -> bool:
        self.ran.append(f"{name} in {threading.current_thread().name}")
        return inside()

    async def nested(self) -> bool:
        return await self.note("inner") and inside()

    async def waits(self) -> None:
        await asyncio.sleep(0)

    async def asks(self, call: Callable[[], Awaitable[str]]) -> str:
        return await outside(call)

    async def fails(self) -> None:
        async with self._sessions.write():
            raise ValueError("as asked")


async def opened(folder: Path) -> Watched:
    store = await Watched.open(f"sqlite:///{folder}/lanner.db", folder, system_clock)
    store.ran = []
    return store


async def test_methods_run_in_one_thread_in_the_order_in_which_they_were_called(
    tmp_path: Path,
) -> None:
    store = await opened(tmp_path)
    found = await asyncio.gather(*(store.note(str(n)) for n in range(50)))
    assert all(found)
    assert [each.split()[0] for each in store.ran] == [str(n) for n in range(50)]
    assert len({each.split(" in ")[1] for each in store.ran}) == 1
    assert not inside()
    await store.close()


async def test_a_method_calls_another_without_leaving_its_thread(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    async with asyncio.timeout(5):
        assert await store.nested()
    await store.close()


async def test_a_method_that_waits_for_something_else_says_so(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    with pytest.raises(RuntimeError, match="not the database"):
        await store.waits()
    assert await store.note("the thread goes on")
    await store.close()


async def test_what_needs_the_event_loop_is_asked_for_there(tmp_path: Path) -> None:
    store = await opened(tmp_path)

    async def here() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert await store.asks(here) == threading.current_thread().name
    assert await outside(here) == threading.current_thread().name
    await store.close()


async def test_a_write_that_fails_leaves_no_lock_and_its_error_arrives(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for _ in range(20):
        with pytest.raises(ValueError, match="as asked"):
            await store.fails()
    async with asyncio.timeout(5):
        assert (await store.person(1)).id == 1
    await store.close()


async def test_talk_goes_on_while_a_person_is_exported_and_erased(
    tmp_path: Path, clock: Hands
) -> None:
    store = await open_store(tmp_path, clock)
    for person in (1, 2):
        await store.person(person)
        talk = await store.conversation(person, person)
        for number in range(50):
            await store.add_message(talk.id, "user", f"{person}: {number}")
    exported, erased, said = await asyncio.gather(
        store.export(2), store.forget(1), store.add_message(talk.id, "user", "meanwhile")
    )
    assert erased
    assert said in {m.id for m in await store.history(talk.id)}
    assert len(exported["conversations"][0]["messages"]) >= 50
    assert (await store.export(1))["conversations"] == []
    await store.close()


async def test_a_stream_gives_every_row_once(tmp_path: Path) -> None:
    from sqlalchemy import select

    from bot.store.tables import Person

    store = await opened(tmp_path)
    for number in range(1, 26):
        await store.person(number)
    async with store.sessions.read() as session:
        assert isinstance(session, InlineSession)
        result = await session.stream(select(Person.id).order_by(Person.id))
        parts = [[row[0] for row in rows] async for rows in result.partitions(10)]
    assert parts == [[*range(1, 11)], [*range(11, 21)], [*range(21, 26)]]
    await store.close()
