"""A machine's clock that jumps, forward or back, loses nothing and lets nothing happen twice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.admission import Bucket
from tests.store.house import Hands, open_store, update


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400), timedelta(0)])
async def test_updates_keep_their_order_and_come_once(tmp_path: Path, jump: timedelta) -> None:
    clock = Hands()
    store = await open_store(tmp_path, clock)
    await store.receive([update(1), update(2)])
    clock.now += jump
    await store.receive([update(3), update(2)])
    await store.housekeeping()
    assert [u["update_id"] for u in await store.open_updates()] == [1, 2, 3]
    await store.close()


@pytest.mark.parametrize("jump", [timedelta(hours=30), timedelta(hours=-30)])
async def test_a_check_in_is_claimed_once_for_a_date(tmp_path: Path, jump: timedelta) -> None:
    clock = Hands()
    store = await open_store(tmp_path, clock)
    await store.person(1)
    day = clock.now.date()
    assert await store.claim_check_in(1, day, clock.now) is not None
    clock.now += jump
    assert await store.claim_check_in(1, day, clock.now) is None
    await store.close()


async def test_order_in_a_conversation_is_that_of_arrival(tmp_path: Path) -> None:
    clock = Hands()
    store = await open_store(tmp_path, clock)
    talk = await store.conversation(1, 1)
    for words, hours in (("a", 0), ("b", -5), ("c", 48)):
        clock.now += timedelta(hours=hours)
        await store.add_message(talk.id, "user", words)
    assert [m.text for m in await store.history(talk.id)] == ["a", "b", "c"]
    await store.close()


def test_a_timer_that_goes_back_shuts_nobody_out() -> None:
    bucket = Bucket(60, 60, since=1000.0)
    assert all(bucket.take(-1000.0) for _ in range(60))
    assert not bucket.take(-1000.0)
    assert bucket.take(-998.0)
