"""A reply on its way: each step is on disk, and repeating one changes nothing."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store.conversations import Superseded
from bot.store.store import Store
from bot.store.tables import OutboxPart
from tests.store.house import Hands, first_part, open_store

TEXTS = ["one", "two", "three"]


async def test_a_part_goes_from_new_to_sent(store: Store) -> None:
    part = await first_part(store)
    states = [part.state]
    await store.place(part.id, 77)
    states += [p.state for p in await store.unsent()]
    (part,) = await store.generated("5", ["a\0\ud800"])
    states.append(part.state)
    assert (states, part.text, part.placeholder_id) == (
        ["new", "placeholder", "generated"], "a\0?", 77,
    )  # fmt: skip
    await store.sent(part.id)
    assert await store.unsent() == []


async def test_what_was_sent_leaves_no_text_and_stays_sent(store: Store) -> None:
    await first_part(store)
    (part,) = await store.generated("5", ["words"])
    await store.sent(part.id)
    await store.place(part.id, 78)
    (again,) = await store.generated("5", ["other words"])
    assert (again.state, again.text, again.placeholder_id) == ("sent", "", None)


async def test_a_turn_without_text_is_not_sent(store: Store) -> None:
    part = await first_part(store)
    await store.sent(part.id)
    assert [p.state for p in await store.unsent()] == ["new"]


async def test_text_of_an_earlier_epoch_is_dropped(store: Store) -> None:
    talked = await store.conversation(1, 1)
    await first_part(store)
    await store.bump_epoch(talked.id)
    with pytest.raises(Superseded):
        await store.generated("5", ["late"])
    with pytest.raises(Superseded):
        await first_part(store)


async def test_erasing_a_person_empties_the_outbox(store: Store) -> None:
    await first_part(store)
    await store.forget(1)
    with pytest.raises(Superseded):
        await store.generated("5", ["late"])
    assert await store.unsent() == []


class Crash(Exception):
    """The process ends here."""


class Chat:
    """What stands in the chat; dies before or after any call, as the network and power do."""

    def __init__(self, seed: int) -> None:
        self.messages: list[str] = []
        self._rng = random.Random(seed)

    def risk(self) -> None:
        if self._rng.random() < 0.25:
            raise Crash

    def send(self) -> int:
        self.risk()
        self.messages.append("…")
        self.risk()
        return len(self.messages) - 1

    def edit(self, number: int, text: str) -> None:
        self.risk()
        self.messages[number] = text
        self.risk()


async def deliver(store: Store, chat: Chat) -> None:
    """As a delivery uses the outbox: placeholder, text, edit, done."""
    first = await first_part(store)
    if first.placeholder_id is None and first.state == "new":
        await store.place(first.id, chat.send())
    chat.risk()
    for part in await store.generated("5", TEXTS):
        await put(store, chat, part)


async def put(store: Store, chat: Chat, part: OutboxPart) -> None:
    if part.state == "sent":
        return
    number = part.placeholder_id
    if number is None:
        number = chat.send()
        await store.place(part.id, number)
    chat.edit(number, part.text)
    await store.sent(part.id)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_crashes_anywhere_between_the_steps_never_double_a_reply(seed: int) -> None:
    async def lives() -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            store, chat = await open_store(Path(folder), Hands()), Chat(seed)
            for _ in range(200):
                try:
                    await deliver(store, chat)
                    break
                except Crash:
                    continue
            assert await store.unsent() == []
            await store.close()
        return chat.messages

    # A crash between a placeholder and its row leaves an empty placeholder, never a second text.
    assert [text for text in asyncio.run(lives()) if text != "…"] == TEXTS
