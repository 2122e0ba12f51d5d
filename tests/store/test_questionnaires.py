"""Questionnaires on disk: sealed, nobody else's, over restarts, and gone when they must be."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import text, update

from bot.sealing.sealed import Sealed
from bot.store.questionnaires import RUN_OUT, SITTING
from bot.store.store import Store
from bot.store.tables import Sitting
from tests.store.house import Hands, bytes_in, open_store, talk

PHQ9 = {"instrument": "marker-phq9", "answers": [{"value": 3}]}
DAY = timedelta(days=1)


async def test_answers_are_there_after_a_restart(
    store: Store, tmp_path: Path, clock: Hands
) -> None:
    number = await store.begin_sitting(1, {})
    assert await store.keep_answers(1, number, PHQ9)
    await store.close()
    again = await open_store(tmp_path, clock)
    found = await again.newest_sitting(1)
    assert found is not None
    assert (found.id, found.state, found.answers) == (number, "open", PHQ9)
    await again.close()


async def test_neither_which_questionnaire_nor_an_answer_stands_on_disk_in_the_clear(
    store: Store, tmp_path: Path
) -> None:
    await store.begin_sitting(1, PHQ9)
    assert b"marker-phq9" not in bytes_in(tmp_path)
    assert b'"value"' not in bytes_in(tmp_path)


async def test_one_is_open_at_a_time_and_those_that_are_done_stay(store: Store) -> None:
    first = await store.begin_sitting(1, PHQ9)
    await store.keep_answers(1, first, PHQ9, done=True)
    second, third = await store.begin_sitting(1, {}), await store.begin_sitting(1, {})
    assert await store.sitting(1, second) is None
    assert [row.id for row in await store.done_sittings(1, 10)] == [first]
    newest = await store.newest_sitting(1)
    assert newest is not None
    assert newest.id == third


async def test_one_that_is_done_is_neither_changed_nor_ended(store: Store) -> None:
    number = await store.begin_sitting(1, {})
    await store.keep_answers(1, number, PHQ9, done=True)
    assert not await store.keep_answers(1, number, {"answers": []})
    assert not await store.drop_sitting(1, number)
    (kept,) = await store.done_sittings(1, 10)
    assert kept.answers == PHQ9


async def test_nobody_sees_changes_or_ends_another_persons(store: Store) -> None:
    number = await store.begin_sitting(1, PHQ9)
    assert await store.sitting(2, number) is None
    assert await store.newest_sitting(2) is None
    assert not await store.keep_answers(2, number, {})
    assert not await store.drop_sitting(2, number)
    mine = await store.sitting(1, number)
    assert mine is not None
    assert mine.answers == PHQ9


async def test_an_answer_that_comes_after_forgetting_leaves_nothing(store: Store) -> None:
    number = await store.begin_sitting(1, PHQ9)
    await store.forget(1)
    assert not await store.keep_answers(1, number, PHQ9)
    async with store.sessions.read() as session:
        for table in ("questionnaires", "person_keys WHERE person_id = 1"):
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0  # noqa: S608


async def test_an_ended_number_is_never_given_again(store: Store) -> None:
    number = await store.begin_sitting(1, {})
    await store.drop_sitting(1, number)
    assert await store.begin_sitting(2, {}) > number


async def test_results_are_kept_as_long_as_messages_are(store: Store, clock: Hands) -> None:
    for person, days in ((1, 7), (2, None)):
        await store.person(person)
        await store.set_person(person, retention_days=days)
        number = await store.begin_sitting(person, PHQ9)
        await store.keep_answers(person, number, PHQ9, done=True)
    clock.now += 8 * DAY
    await store.retain(90)
    assert await store.done_sittings(1, 10) == []
    assert len(await store.done_sittings(2, 10)) == 1
    clock.now += 83 * DAY
    await store.retain(90)
    assert await store.done_sittings(2, 10) == []


async def test_housekeeping_empties_what_ran_out_and_later_drops_it(
    store: Store, clock: Hands
) -> None:
    number = await store.begin_sitting(1, PHQ9)
    done = await store.begin_sitting(2, PHQ9)
    await store.keep_answers(2, done, PHQ9, done=True)
    await store.housekeeping()
    assert (await store.sitting(1, number) or Sitting()).answers == PHQ9
    clock.now += SITTING + timedelta(minutes=1)
    await store.housekeeping()
    left = await store.sitting(1, number)
    assert left is not None
    assert left.sealed == b""
    assert left.answers == {}
    clock.now += RUN_OUT
    await store.housekeeping()
    assert await store.sitting(1, number) is None
    assert len(await store.done_sittings(2, 10)) == 1


async def test_one_that_is_damaged_on_disk_is_empty_and_another_can_be_begun(store: Store) -> None:
    number = await store.begin_sitting(1, PHQ9)
    async with store.sessions.write() as session:
        await session.execute(update(Sitting).values(sealed=Sealed(b"\x01" + b"x" * 60)))
    found = await store.newest_sitting(1)
    assert found is not None
    assert found.answers == {}
    assert await store.begin_sitting(1, PHQ9) > number


async def test_the_newest_message_is_the_persons_own_and_not_a_groups(store: Store) -> None:
    assert await store.newest_message(1) == 0
    await talk(store, 1, "one", "two")
    mine = await store.newest_message(1)
    await talk(store, 2, "somebody else")
    group = await store.conversation(1, -5)
    await store.add_message(group.id, "user", "in a group")
    assert await store.newest_message(1) == mine == 2
    await store.conversation(1, 1, new=True)
    assert await store.newest_message(1) == mine
