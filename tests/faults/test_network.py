"""Telegram that cannot be reached, or asks to wait: afterwards everybody has each answer once."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bot.playground.faults import Fault
from tests.bot.house import House
from tests.faults.people import DANGER, answers, crisis_texts, heard

CALLS = (
    "getUpdates", "sendMessage", "editMessageText", "sendMessageDraft", "sendChatAction",
    "deleteMessage",
)  # fmt: skip


class Partition:
    """The network between the bot and Telegram, cut in one of three ways."""

    def __init__(self, house: House, kind: str) -> None:
        self.house, self.kind = house, kind
        self.cut: list[Fault] = []

    async def begin(self) -> None:
        """`refused`: nobody listens. `hung`, `mute`: requests go out, or arrive, unanswered."""
        if self.kind == "refused":
            await self.house.telegram.down()
            return
        switch = {"hung": self.house.faults.hang, "mute": self.house.faults.mute}[self.kind]
        self.cut = [switch(method, times=-1) for method in CALLS]
        await self.house.until(lambda: self.cut[0].met)

    async def felt(self) -> None:
        """Until the bot has met it: its poll fails, and a message does."""
        if self.kind == "refused":
            await self.house.until(lambda: (self.house.lanner.intake.age_s() or 0) > 2)
        else:
            await self.house.until(lambda: self.cut[1].met and self.cut[0].met > 1)

    async def end(self) -> None:
        if self.kind == "refused":
            await self.house.telegram.up()
        self.house.faults.off(*self.cut)


@pytest.mark.parametrize("kind", ["refused", "hung", "mute"])
async def test_after_a_partition_everybody_has_each_answer_once_and_in_order(
    house: House, kind: str
) -> None:
    house.lanner.intake._long_poll_s = 1  # type: ignore[union-attr]
    for name in ("before", "during", "away", "danger"):
        await house.agree(name)
    house.world.say("before", "number 1")
    await house.until(lambda: answers(house, "before"))
    house.model.free.clear()
    house.world.say("during", "number 1")
    await house.until(lambda: len(house.model.asked) == 2)
    partition = Partition(house, kind)
    await partition.begin()
    house.model.free.set()
    for number in (1, 2):
        house.world.say("away", f"number {number}")
    house.world.say("danger", DANGER)
    await partition.felt()
    await partition.end()
    await house.until(lambda: crisis_texts(house, "danger"))
    both = [heard("number 1"), heard("number 2")]
    await house.until(lambda: answers(house, "away") == both)
    await house.until(lambda: answers(house, "during") == both[:1])
    await house.settled()
    assert answers(house, "away") == both
    assert answers(house, "before") == answers(house, "during") == both[:1]
    assert crisis_texts(house, "danger") == 1


async def test_a_storm_of_flood_limits_delays_and_neither_loses_nor_doubles(house: House) -> None:
    names, rng = [f"p{number}" for number in range(6)], random.Random(3)
    for name in (*names, "calm"):
        await house.agree(name)
    stormy = {house.chat(name).id for name in names}

    def hit(arguments: dict[str, Any]) -> bool:
        return int(arguments.get("chat_id", 0)) in stormy and rng.random() < 0.5

    storm = [house.faults.flood(method, 1, times=-1) for method in CALLS[1:4]]
    for rule in storm:
        rule.only = hit
    for number in range(2):
        for name in names:
            house.world.say(name, f"number {number}")
    house.world.say("calm", "number 0")
    await house.until(lambda: answers(house, "calm") == [heard("number 0")])
    assert sum(len(answers(house, name)) for name in names) < 2 * len(names)
    wanted = [heard(f"number {number}") for number in range(2)]
    await house.until(lambda: all(answers(house, name) == wanted for name in names))
    await house.settled()
    assert all(answers(house, name) == wanted for name in names)
    assert sum(rule.met for rule in storm) > len(names)


@pytest.mark.parametrize("streaming", ["draft", "edit"])
async def test_a_picture_that_is_told_to_wait_gives_way_to_the_text_that_stays(
    house: House, streaming: str
) -> None:
    await house.agree("ada")
    await house.say(f"/settings streaming {streaming}", "ada")
    method = {"draft": "sendMessageDraft", "edit": "editMessageText"}[streaming]
    # So long that the text would never come if it waited for the picture's turn.
    limit = house.faults.flood(method, 3600)
    house.model.free.clear()
    # Two sentences: the guard holds the last one back, so only the first is a picture.
    words = "number 1. Two sentences"
    house.world.say("ada", words)
    await house.until(lambda: limit.met)
    pictures = len(house.faults.of(method))
    house.model.free.set()
    await house.until(lambda: answers(house, "ada") == [heard(words)])
    await house.settled()
    after = [call for call in house.faults.of(method)[pictures:] if call.outcome == "done"]
    assert len(after) == (1 if streaming == "edit" else 0)
