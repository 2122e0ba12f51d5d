"""People, conversations and messages on a real SQLite file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store.conversations import Superseded
from bot.store.part import storable
from bot.store.store import Store
from bot.store.turns import Change
from tests.store.house import Hands, first_part, open_store, talk


async def test_hostile_text_is_stored_and_comes_back(store: Store) -> None:
    words = ["a\0b", "\u202eevil", "\u200b" * 9, "😀", "x" * 100_000]
    number = await talk(store, 1, *words, "\ud800 lone")
    assert [m.text for m in await store.history(number)] == [*words, "? lone"]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_can_be_stored_and_only_lone_surrogates_change(text: str) -> None:
    kept = storable(text)
    assert kept.encode("utf-8").decode("utf-8") == kept
    assert len(kept) == len(text)
    assert all(
        a == b or (a == "?" and "\ud800" <= b <= "\udfff") for a, b in zip(kept, text, strict=True)
    )


async def test_times_come_back_aware_and_in_utc(store: Store, clock: Hands) -> None:
    (message,) = await store.history(await talk(store, 1, "hi"))
    assert message.created == clock.now
    assert message.created.tzinfo is not None


async def test_a_new_conversation_hides_the_old_one_and_keeps_it(store: Store) -> None:
    old = await talk(store, 1, "before")
    new = await store.conversation(1, 1, new=True)
    assert await store.history(new.id) == []
    assert len(await store.history(old)) == 1


async def test_the_risk_that_is_held_ends_with_no_conversation(store: Store) -> None:
    first = await store.conversation(1, 1)
    await store.set_risk(1, 1, 2)
    second = await store.conversation(1, 1, new=True)
    assert second.risk == 2
    await store.set_risk(1, 1, 3)
    assert await store.reopen(1, first.id)
    assert (await store.conversation(1, 1)).risk == 3
    for left in (first, second):
        assert await store.delete_talk(1, left.id)
    assert (await store.conversation(1, 1)).risk == 3


async def test_risk_that_is_let_go_is_let_go_in_older_conversations_too(store: Store) -> None:
    first = await store.conversation(1, 1)
    await store.set_risk(1, 1, 3)
    await store.conversation(1, 1, new=True)
    await store.set_risk(1, 1, 0)
    assert await store.reopen(1, first.id)
    assert (await store.conversation(1, 1)).risk == 0


async def test_risk_in_a_private_chat_is_not_held_in_a_group_nor_for_anybody_else(
    store: Store,
) -> None:
    await store.person(1)
    await store.set_risk(1, 1, 3)
    assert (await store.conversation(1, -100)).risk == 0
    assert (await store.conversation(2, 2, new=True)).risk == 0


async def test_no_risk_is_kept_of_who_was_erased(store: Store) -> None:
    await store.person(1)
    await store.set_risk(1, 1, 3)
    await store.forget(1)
    await store.set_risk(1, 1, 3)
    assert (await store.conversation(1, 1)).risk == 0


async def test_people_in_one_chat_have_conversations_of_their_own(store: Store) -> None:
    one, two = await store.conversation(1, -100), await store.conversation(2, -100)
    assert one.id != two.id


async def test_messages_that_come_at_once_find_one_conversation(store: Store) -> None:
    found = await asyncio.gather(*(store.conversation(1, 1) for _ in range(20)))
    assert len({conversation.id for conversation in found}) == 1


async def test_a_reply_begun_before_a_new_conversation_is_not_stored(store: Store) -> None:
    old = await store.conversation(1, 1)
    await store.conversation(1, 1, new=True)
    with pytest.raises(Superseded):
        await store.add_message(old.id, "assistant", "late", epoch=old.epoch)
    assert await store.history(old.id) == []


async def test_a_reply_begun_before_an_edit_is_not_stored(store: Store) -> None:
    talked = await store.conversation(1, 1)
    first = await store.add_message(talked.id, "user", "first", epoch=talked.epoch)
    await store.add_message(talked.id, "assistant", "answer", epoch=talked.epoch)
    await first_part(store, change=Change(first))
    with pytest.raises(Superseded):
        await store.add_message(talked.id, "assistant", "late", epoch=talked.epoch)
    assert await store.history(talked.id) == []


async def test_a_reply_of_the_present_epoch_is_stored_with_it(store: Store) -> None:
    talked = await store.conversation(1, 1)
    epoch = await store.bump_epoch(talked.id)
    await store.add_message(talked.id, "assistant", "now", epoch=epoch, stopped=True, queued_s=0.5)
    (message,) = await store.history(talked.id)
    assert (message.epoch, message.stopped, message.queued_s) == (epoch, True, 0.5)
    assert await store.epoch(talked.id) == epoch == talked.epoch + 1


async def test_a_late_reply_to_someone_erased_reaches_nobody(store: Store) -> None:
    """SQLite gives a freed id again unless told otherwise."""
    erased = await talk(store, 1, "secret")
    await store.forget(1)
    other = await talk(store, 2)
    for epoch in (None, 0):
        with pytest.raises(Superseded):
            await store.add_message(erased, "assistant", "late", epoch=epoch)
    assert await store.history(other) == []
    assert await store.epoch(erased) is None


async def test_an_edit_cuts_its_own_conversation_alone(store: Store) -> None:
    mine, other = await talk(store, 1, "a", "b", "c"), await talk(store, 2, "d")
    await first_part(store, change=Change((await store.history(mine))[1].id))
    assert [m.text for m in await store.history(mine)] == ["a"]
    assert [m.text for m in await store.history(other)] == ["d"]


async def test_consent_counts_only_for_the_version_that_was_read(store: Store) -> None:
    await store.person(1)
    await store.consent(1, "1")
    assert await store.has_consented(1, "1")
    assert not await store.has_consented(1, "2")
    assert not await store.has_consented(2, "1")


async def test_risk_is_held_over_a_restart(store: Store, tmp_path: Path, clock: Hands) -> None:
    await store.person(1)
    await store.set_risk(1, 1, 3)
    again = await open_store(tmp_path, clock)
    assert (await again.conversation(1, 1)).risk == 3
    await again.close()


async def test_what_admins_did_is_kept_without_words(store: Store) -> None:
    await store.record_action(9, "reload", "demo", subject_id=None)
    await store.record_action(9, "ban", subject_id=1)
    kept = [(a.admin_id, a.action, a.detail, a.subject_id) for a in await store.actions()]
    assert kept == [(9, "reload", "demo", None), (9, "ban", "", 1)]
