"""An operator steps in only where the person agreed, and the person always knows who writes."""

from __future__ import annotations

import pytest

from bot.asking import Asked
from bot.hand_off import ALERT, GIVEN_BACK, PERSON_ENDED, TAKEN, HandOff, NotAllowed, TakenAlready
from bot.safety.types import Assessment, Level
from bot.store.store import Store
from tests.care.conftest import Ear
from tests.store.house import Hands

OPERATOR, OTHER, PERSON = 1, 2, 7
HIGH = Assessment(Level.HIGH, 0.9, ("suicide.self",))
IMMINENT = Assessment(Level.IMMINENT, 0.9, ("suicide.self",))
CALM = Assessment(Level.NONE, 0.0)
SECRET = "I want to kill myself tonight"


@pytest.fixture
async def hand_off(store: Store, clock: Hands, ear: Ear) -> HandOff:
    await store.person(PERSON)
    return HandOff(store, clock, ear.say, [OPERATOR, OTHER])


def said(person: int, text: str = "hello") -> Asked:
    return Asked("1", person, person, text, 5)


async def relayed(hand_off: HandOff, store: Store, words: Asked, *, danger: bool) -> bool:
    async def found() -> bool:
        return danger

    standing = await store.standing(words.person, "1")
    return await hand_off.relayed(words, standing, found)


async def hear(hand_off: HandOff, store: Store, found: Assessment) -> None:
    talk = await store.conversation(PERSON, PERSON)
    await hand_off.heard(said(PERSON, SECRET), talk, found)


async def test_without_consent_no_operator_is_told_and_none_can_take_over(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hear(hand_off, store, IMMINENT)
    assert ear.heard == []
    with pytest.raises(NotAllowed):
        await hand_off.take(OPERATOR, PERSON)
    await hand_off.allow(PERSON, allowed=False)
    with pytest.raises(NotAllowed):
        await hand_off.take(OPERATOR, PERSON)


async def test_the_alert_names_the_person_and_the_level_and_no_words(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    await hear(hand_off, store, HIGH)
    assert ear.to(OPERATOR) == ear.to(OTHER) == [ALERT.format(person=PERSON, level=2)]
    assert SECRET not in str(ear.heard)


async def test_the_alert_comes_once_for_each_rise(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    for found in (HIGH, HIGH, IMMINENT, IMMINENT, CALM, HIGH):
        await hear(hand_off, store, found)
    assert len(ear.to(OPERATOR)) == 3


async def test_words_go_both_ways_and_the_person_is_told_who_writes(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    await hand_off.take(OPERATOR, PERSON)
    assert ear.to(PERSON) == [TAKEN]
    assert await relayed(hand_off, store, said(OPERATOR, "how are you"), danger=False)
    assert ear.to(PERSON)[-1] == "Operator: how are you"
    assert await relayed(hand_off, store, said(PERSON, "not well"), danger=False)
    assert ear.to(OPERATOR) == ["not well"]
    assert await hand_off.give_back(OPERATOR) == PERSON
    assert ear.to(PERSON)[-1] == GIVEN_BACK
    assert not await relayed(hand_off, store, said(PERSON, "still there?"), danger=False)
    talk = await store.conversation(PERSON, PERSON)
    assert [(m.role, m.text) for m in await store.history(talk.id)] == [
        ("assistant", "how are you"),
        ("user", "not well"),
    ]


async def test_words_of_danger_reach_the_operator_and_get_the_fixed_reply_too(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    await hand_off.take(OPERATOR, PERSON)
    assert not await relayed(hand_off, store, said(PERSON, SECRET), danger=True)
    assert ear.to(OPERATOR) == [SECRET]


async def test_an_operator_who_asks_about_danger_is_not_taken_for_a_person_in_danger(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    await hand_off.take(OPERATOR, PERSON)
    question = "Are you thinking of killing yourself?"
    assert await relayed(hand_off, store, said(OPERATOR, question), danger=True)
    assert ear.to(PERSON)[-1] == f"Operator: {question}"


async def test_taking_consent_back_sends_the_operator_away_at_once(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    await hand_off.take(OPERATOR, PERSON)
    await hand_off.allow(PERSON, allowed=False)
    assert ear.to(PERSON)[-1] == GIVEN_BACK
    assert ear.to(OPERATOR) == [PERSON_ENDED]
    assert not await relayed(hand_off, store, said(OPERATOR), danger=False)


async def test_one_operator_for_a_person_and_one_person_for_an_operator(
    hand_off: HandOff, store: Store
) -> None:
    await store.person(8)
    for person in (PERSON, 8):
        await hand_off.allow(person, allowed=True)
    await hand_off.take(OPERATOR, PERSON)
    with pytest.raises(TakenAlready):
        await hand_off.take(OTHER, PERSON)
    with pytest.raises(TakenAlready):
        await hand_off.take(OPERATOR, 8)


async def test_an_operator_who_cannot_be_reached_does_not_keep_a_person_waiting(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    await hand_off.take(OPERATOR, PERSON)
    ear.deaf.add(OPERATOR)
    await relayed(hand_off, store, said(PERSON), danger=False)
    assert ear.to(PERSON)[-1] == GIVEN_BACK
    assert not await relayed(hand_off, store, said(PERSON), danger=False)


async def test_who_is_no_admin_any_more_neither_writes_nor_reads(
    hand_off: HandOff, store: Store, ear: Ear
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    await store.take_over(PERSON, 99)  # an operator who was an admin once and is no longer
    assert not await relayed(hand_off, store, said(99, "trust me"), danger=False)
    assert not await relayed(hand_off, store, said(PERSON, "my secret"), danger=False)
    assert ear.to(99) == []
    assert ear.to(PERSON) == [GIVEN_BACK]


async def test_those_at_risk_who_agreed_are_listed_the_gravest_first(
    hand_off: HandOff, store: Store
) -> None:
    for person, risk, agreed in ((7, 2, True), (8, 3, True), (9, 3, False), (10, 1, True)):
        await store.person(person)
        await store.set_risk(person, person, risk)
        await hand_off.allow(person, allowed=agreed)
    assert await hand_off.waiting() == [(8, 3), (7, 2)]


async def test_every_taking_over_is_on_record_without_words(
    hand_off: HandOff, store: Store
) -> None:
    await hand_off.allow(PERSON, allowed=True)
    await hand_off.take(OPERATOR, PERSON)
    await relayed(hand_off, store, said(OPERATOR, "private"), danger=False)
    await hand_off.give_back(OPERATOR)
    rows = [(a.admin_id, a.subject_id, a.detail) for a in await store.actions()]
    assert rows == [(OPERATOR, PERSON, "taken"), (OPERATOR, PERSON, "given back")]
