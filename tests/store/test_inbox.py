"""Every update once, whatever Telegram repeats."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.store.inbox import chat_and_person
from bot.store.store import Store
from tests.store.house import Hands, bytes_in, open_store, update


async def test_an_update_received_twice_is_kept_once(store: Store) -> None:
    await store.receive([update(5), update(6)])
    assert await store.receive([update(5), update(7), update(7)]) == [update(7)]
    await store.finish_update(6)
    assert await store.open_updates() == [update(5), update(7)]


async def test_an_update_repeated_after_it_was_finished_is_not_taken_again(store: Store) -> None:
    await store.receive([update(5)])
    await store.finish_update(5)
    assert await store.receive([update(5)]) == []
    assert await store.open_updates() == []


async def test_a_batch_is_kept_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(KeyError):
        await store.receive([*(update(n) for n in range(600)), {"message": {}}])
    assert await store.open_updates() == []


async def test_a_large_batch_is_kept_in_order(store: Store) -> None:
    batch = [update(n) for n in range(2000)]
    assert await store.receive(batch) == batch
    assert await store.open_updates() == batch
    assert await store.receive([]) == []


async def test_a_finished_update_leaves_none_of_its_words(store: Store, tmp_path: Path) -> None:
    await store.receive([update(5, text="marker-9921")])
    await store.finish_update(5)
    await store.compact()
    assert b"marker-9921" not in bytes_in(tmp_path)


async def test_a_poison_update_is_put_aside_and_the_next_one_flows(store: Store) -> None:
    await store.receive([update(5), update(6)])
    assert [await store.begin_update(5), await store.begin_update(5)] == [1, 2]
    await store.quarantine_update(5, "ValueError")
    await store.finish_update(5)
    assert await store.open_updates() == [update(6)]
    (aside,) = await store.quarantined()
    assert (aside.update_id, aside.error, aside.attempts, aside.body) == (
        5, "ValueError", 2, update(5),
    )  # fmt: skip


async def test_attempts_are_remembered_over_a_restart(
    store: Store, tmp_path: Path, clock: Hands
) -> None:
    await store.receive([update(5)])
    await store.begin_update(5)
    again = await open_store(tmp_path, clock)
    assert await again.begin_update(5) == 2
    await again.close()


async def test_hostile_updates_are_kept_as_they_came(store: Store) -> None:
    hostile = [update(1, text="a\0b\ud800\u202e"), {"update_id": 2, "message": []}]
    hostile += [{"update_id": 3}, {"update_id": 4, "poll": {"from": 7, "message": None}}]
    await store.receive(hostile)
    assert await store.open_updates() == hostile


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (update(1, 7), (7, 7)),
        ({"update_id": 1, "edited_message": {"chat": {"id": -5}, "from": {"id": 7}}}, (-5, 7)),
        (
            {"update_id": 1, "callback_query": {"from": {"id": 7}, "message": {"chat": {"id": 8}}}},
            (8, 7),
        ),
        ({"update_id": 1, "callback_query": {"from": {"id": 7}}}, (None, 7)),
        ({"update_id": 1}, (None, None)),
    ],
)
def test_an_update_says_whose_it_is(body: dict[str, object], ids: tuple[int, int]) -> None:
    assert chat_and_person(body) == ids
