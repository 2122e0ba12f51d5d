"""Several processes on one inbox: nothing lost, nothing doubled, each chat in order."""

from __future__ import annotations

import asyncio

import asyncpg

from bot.store.presence import Presence
from bot.store.store import Store
from tests.store.house import update


async def enter(store: Store) -> Presence:
    presence = Presence(store.sessions, beat_s=0.05)
    await presence.enter()
    return presence


async def test_two_processes_never_hold_one_chat_and_each_gets_it_in_order(store: Store) -> None:
    await store.receive([update(n, n % 4 + 1) for n in range(40)])
    one, two = await enter(store), await enter(store)
    first = await store.claim_updates(one.number, 2)
    second = await store.claim_updates(two.number, 9)
    assert len(first) == len(second) == 20
    chats = [{u["message"]["chat"]["id"] for u in taken} for taken in (first, second)]
    assert chats[0] & chats[1] == set()
    numbers = [u["update_id"] for u in first]
    assert numbers == sorted(numbers)
    await one.leave()
    await two.leave()


async def test_what_comes_later_goes_to_whoever_holds_the_chat(store: Store) -> None:
    one, two = await enter(store), await enter(store)
    await store.receive([update(1, 7)])
    await store.claim_updates(one.number, 5)
    await store.receive([update(2, 7)])
    assert await store.claim_updates(two.number, 5) == []
    assert [u["update_id"] for u in await store.claim_updates(one.number, 5)] == [1, 2]
    await store.finish_update(1)
    await store.finish_update(2)
    await store.claim_updates(one.number, 5)
    await store.receive([update(3, 7)])
    assert len(await store.claim_updates(two.number, 5)) == 1
    await one.leave()
    await two.leave()


async def test_the_living_keep_their_chats_and_the_dead_lose_them_at_once(store: Store) -> None:
    one, two = await enter(store), await enter(store)
    await store.receive([update(1, 7)])
    await store.claim_updates(one.number, 5)
    assert await store.free_the_dead(two.number) == 0
    await one.leave()
    assert await store.free_the_dead(two.number) == 1
    assert len(await store.claim_updates(two.number, 5)) == 1
    await two.leave()


async def test_one_process_leads_and_another_follows_when_it_is_gone(store: Store) -> None:
    one, two = await enter(store), await enter(store)
    assert [await one.lead(), await two.lead(), await one.lead()] == [True, False, True]
    await one.leave()
    assert await two.lead()
    await two.leave()


async def test_a_process_that_the_server_gave_up_is_told(store: Store, url: str) -> None:
    presence = await enter(store)
    lost = asyncio.create_task(presence.lost())
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg", "postgresql"))
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    )
    await connection.close()
    async with asyncio.timeout(30):
        assert "gave this process up" in await lost
    await presence.leave()
