"""A turn is begun whole or not at all, and who may talk is read at one moment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.store.admission import MAINTENANCE
from bot.store.conversations import Superseded
from bot.store.store import Store
from bot.store.tables import Conversation, Message
from bot.store.turns import Begun, Change, Decision
from tests.store.house import Hands, first_part, talk

HELLO = Change(None, "hello", 9)


async def begin(store: Store, turn: str, change: Change | None) -> Begun | None:
    return await store.begin_turn(turn, 1, 1, lambda _talk, _history: change)


async def test_words_and_the_reply_s_first_part_come_together(store: Store) -> None:
    await talk(store, 1, "before")
    begun = await begin(store, "5", HELLO)
    assert begun is not None
    assert [m.text for m in begun.history] == ["before", "hello"]
    assert [m.telegram_id for m in await store.history(begun.talk.id)] == [None, 9]
    assert [p.turn for p in await store.unsent()] == ["5"]
    assert not begun.written


async def test_a_wish_that_fails_leaves_nothing(store: Store) -> None:
    number = await talk(store, 1, "before")

    def fails(_talk: Conversation, _history: list[Message]) -> Change:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.begin_turn("5", 1, 1, fails)
    assert len(await store.history(number)) == 1
    assert await store.unsent() == []


async def test_with_nothing_to_answer_no_turn_begins(store: Store) -> None:
    assert await begin(store, "5", None) is None
    assert await store.unsent() == []


async def test_a_turn_that_is_taken_up_changes_nothing_again(store: Store) -> None:
    number = await talk(store, 1, "before")
    first = await begin(store, "5", HELLO)
    again = await begin(store, "5", HELLO)
    assert first is not None
    assert again is not None
    assert [m.text for m in again.history] == ["before", "hello"]
    assert again.parts[0].id == first.parts[0].id
    assert len(await store.history(number)) == 2
    await store.generated("5", ["a reply", "in two"], "a reply in two")
    written = await begin(store, "5", HELLO)
    assert written is not None
    assert written.written
    assert [p.text for p in written.parts] == ["a reply", "in two"]


async def test_a_turn_of_a_talk_that_was_left_goes_on_only_if_its_reply_is_written(
    store: Store,
) -> None:
    await first_part(store, "5", HELLO)
    await first_part(store, "6", Change())
    await store.generated("6", ["written"])
    await store.conversation(1, 1, new=True)
    with pytest.raises(Superseded):
        await first_part(store, "5", HELLO)
    assert (await first_part(store, "6")).text == "written"
    await store.forget(1)
    # As new: what was erased is not known any more.
    assert (await first_part(store, "6")).state == "new"


async def test_a_cut_forgets_what_follows_and_ends_what_was_begun_before(store: Store) -> None:
    number = await talk(store, 1, "a", "b")
    await first_part(store, "5", Change())
    second = (await store.history(number))[1]
    begun = await begin(store, "6", Change(second.id, "b, better", 3))
    assert begun is not None
    assert [m.text for m in begun.history] == ["a", "b, better"]
    assert [m.text for m in await store.history(number)] == ["a", "b, better"]
    with pytest.raises(Superseded):
        await store.generated("5", ["late"])


async def test_a_decision_holds_its_level_and_nothing_is_kept_of_who_was_erased(
    store: Store,
) -> None:
    await talk(store, 1, "a")
    manner = await store.decide(1, 1, Decision(2, 0.9, ["en.rule"], "v"))
    assert manner == ("en", None, (await store.person(1)).streaming)
    assert (await store.conversation(1, 1)).risk == 2
    await store.forget(1)
    with pytest.raises(Superseded):
        await store.decide(1, 1, Decision(3, 0.9, [], "v"))


async def test_how_somebody_stands_is_read_whole(store: Store, clock: Hands) -> None:
    new = await store.standing(1, "2")
    assert (new.consented, new.banned, new.admitted, new.maintenance) == (False,) * 4
    assert (new.operator, new.sitting) == (None, False)
    await store.person(1)
    await store.consent(1, "1")
    assert not (await store.standing(1, "2")).consented
    await store.consent(1, "2")
    await store.ban(1, clock.now + timedelta(days=1))
    await store.redeem(await store.invite(1, 7), 1)
    await store.switch(MAINTENANCE, "on")
    await store.allow_hand_over(1, allowed=True)
    await store.take_over(1, 9)
    await store.begin_sitting(1, {})
    now = await store.standing(1, "2")
    assert (now.consented, now.banned, now.admitted, now.maintenance) == (True,) * 4
    assert (now.operator, now.sitting) == (9, True)
    other = await store.standing(2, "2")
    assert (other.consented, other.banned, other.admitted) == (False,) * 3
    assert (other.operator, other.sitting) == (None, False)
    clock.now += timedelta(days=1)
    assert not (await store.standing(1, "2")).banned
