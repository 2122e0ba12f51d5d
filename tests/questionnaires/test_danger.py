"""Danger in and around a questionnaire is answered as it is everywhere, by the same path."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.hand_off import ALERT, TAKEN
from bot.questionnaires.instruments import Shelf
from bot.safety.types import Assessment, Level, PersonContext
from bot.store.care_tables import FollowUp
from bot.store.tables import SafetyDecision
from tests.bot.dying import died, dies_at
from tests.bot.house import House, whole_gate
from tests.questionnaires.at import (
    ME,
    PHQ9,
    REPLY,
    button,
    fill,
    last,
    never_seen,
    newest,
    notes,
    press_twice,
    tap,
    values,
)

TEXTS = Shelf.load().texts
HEARD = Assessment(Level.HIGH, 0.9, ("suicide.self",))
EIGHT = (1, 0, 0, 0, 0, 0, 0, 0)
MESSAGES = [
    "I want to kill myself", "2 I want to kill myself", "nearly every day I want to die", "kms",
    "i w4nt t0 k1ll my53lf", "𝐈 𝐰𝐚𝐧𝐭 𝐭𝐨 𝐝𝐢𝐞", "I w\u200ban\u200bt t\u200bo d\u200bie",
    "ich bringe mich um", "I cut myself again last night",
]  # fmt: skip


@pytest.fixture
async def british(house: House) -> House:
    """A person in Great Britain, so that the reply has a line of their own."""
    await house.agree()
    await house.lanner.store.set_person(ME, country="GB")
    return house


def crisis_reply() -> str:
    return whole_gate().reply(HEARD, PersonContext("en", "GB")).text


async def decisions(house: House) -> list[tuple[int, list[str], str]]:
    async with house.lanner.store.sessions.read() as session:
        rows = await session.scalars(select(SafetyDecision).order_by(SafetyDecision.id))
        return [(row.level, row.rules["ids"], row.version) for row in rows]


async def follow_ups(house: House) -> list[tuple[int, int, str]]:
    async with house.lanner.store.sessions.read() as session:
        rows = await session.scalars(select(FollowUp).order_by(FollowUp.id))
        return [(row.level, row.step, row.state) for row in rows]


@pytest.mark.parametrize("words", MESSAGES)
async def test_words_of_danger_in_place_of_an_answer_get_the_reply_that_they_get_outside(
    british: House, words: str
) -> None:
    house = british
    await house.say(words)
    outside, kept = last(house), (await decisions(house))[-1]
    await house.anew()
    await fill(house, "phq9", 1, 2)
    assert await house.say(words) == outside
    await house.settled()
    assert last(house) == outside, "nothing follows the crisis reply"
    assert (await decisions(house))[-1] == kept
    assert await values(house) == [1, 2]
    assert never_seen(house, words)
    assert house.model.asked == []


async def test_after_a_crisis_reply_the_questionnaire_goes_on_where_it_was(british: House) -> None:
    house = british
    number = await fill(house, "phq9", 1, 2)
    await house.say("I want to kill myself")
    assert "question 3 of 9" in await house.say("/questionnaire PHQ-9")
    for item in range(2, PHQ9):
        await tap(house, number, item, 0)
    assert "PHQ-9: 3 of 27, minimal" in last(house)
    assert house.model.asked == []


@pytest.mark.parametrize("value", [1, 2, 3])
@pytest.mark.parametrize("typed", [True, False])
async def test_the_ninth_question_above_0_is_answered_as_words_of_level_2_are(
    british: House, value: int, typed: bool
) -> None:
    house = british
    number = await fill(house, "phq9", *EIGHT)
    assert await decisions(house) == []
    if typed:
        house.world.say("you", str(value))
    else:
        house.world.press("you", *button(house, f"questionnaire:answer:{number}:8:{value}"))
    await house.heard(crisis_reply())
    await house.settled()
    (decided,) = await decisions(house)
    assert decided == (2, ["suicide.questionnaire"], whole_gate().version)
    assert await follow_ups(house) == [(2, 1, "waiting")]
    assert (await house.lanner.store.conversation(ME, ME)).risk == Level.HIGH
    assert house.lanner.counts.ends["fixed"] == 1
    assert house.model.asked == []
    assert sum("This is not a diagnosis" in text for text in house.bot_says()) == 0
    await house.press(f"questionnaire:result:{number}")
    assert f"PHQ-9: {1 + value} of 27, minimal" in last(house)
    assert "Whatever the number" in last(house)


async def test_the_ninth_question_at_0_is_no_danger(british: House) -> None:
    house = british
    await fill(house, "phq9", *EIGHT, 0)
    assert "PHQ-9: 1 of 27, minimal" in last(house)
    assert "Whatever the number" not in last(house)
    assert await decisions(house) == []
    assert await follow_ups(house) == []


async def test_danger_is_answered_before_anything_else_is_shown(british: House) -> None:
    house = british
    number = await fill(house, "phq9", *EIGHT)
    calls = len(house.faults.calls)
    await tap(house, number, 8, 1)
    await house.settled()
    shown = [str(call) for call in house.faults.calls][calls:]
    crisis = next(at for at, call in enumerate(shown) if "thoughts of suicide" in call)
    result = next(at for at, call in enumerate(shown) if "Show my result" in call)
    assert crisis < result
    assert last(house) == crisis_reply(), "and it stays the last message"


async def test_a_double_tap_on_the_ninth_question_is_answered_once(british: House) -> None:
    house = british
    number = await fill(house, "phq9", *EIGHT)
    await press_twice(
        house, f"questionnaire:answer:{number}:8:1", f"questionnaire:answer:{number}:8:1"
    )
    assert house.bot_says().count(crisis_reply()) == 1
    assert len(await decisions(house)) == 1
    assert notes(house)[-1] == TEXTS["finished"]


async def test_an_operator_is_told_with_consent_and_only_then(british: House) -> None:
    house = british
    await fill(house, "phq9", *EIGHT, 1)
    assert house.bot_says("admin") == []
    await house.anew()
    await house.lanner.care.hand_off.allow(ME, allowed=True)
    house.lanner.care.hand_off._alerted.clear()
    await fill(house, "phq9", *EIGHT, 1)
    await house.heard(ALERT.format(person=ME, level=2), name="admin")


async def test_the_model_is_never_asked_to_go_on_from_that_reply(british: House) -> None:
    house = british
    await house.say("hello")
    await fill(house, "phq9", *EIGHT, 1)
    asked = len(house.model.asked)
    assert "nothing to go on from" in await house.say("/continue")
    assert len(house.model.asked) == asked


async def test_the_model_sees_neither_questions_nor_answers_nor_the_score(british: House) -> None:
    house = british
    await house.say("hello")
    number = await fill(house, "phq9", *EIGHT, 1)
    await house.press(f"questionnaire:result:{number}")
    before = house.bot_says().count(REPLY)
    house.world.say("you", "thank you")
    await house.heard(REPLY, before)
    assert never_seen(house, "PHQ", "of 27", "better off dead", "Several days", "diagnosis:")


async def test_at_level_3_the_questionnaire_waits_until_the_person_is_safe(british: House) -> None:
    house = british
    number = await fill(house, "phq9", 1)
    fixed = await house.say("I want to kill myself tonight")
    assert await house.say("2") == fixed
    before = len(house.bot_says())
    house.world.press("you", *button(house, f"questionnaire:answer:{number}:1:2"))
    assert await house.next_after(before) == TEXTS["safety_first"]
    assert await house.say("/questionnaire PHQ-9") == TEXTS["safety_first"]
    assert await values(house) == [1]
    await house.say("I am safe now")
    await house.settled()
    await house.say("/questionnaire PHQ-9")
    assert "question 3 of 9" in await house.say("2")


async def test_while_an_operator_writes_words_go_to_them_and_the_questionnaire_waits(
    british: House,
) -> None:
    house = british
    number = await fill(house, "phq9", 1)
    await house.lanner.care.hand_off.allow(ME, allowed=True)
    await house.say(f"/handoff {ME}", "admin")
    await house.heard(TAKEN)
    house.world.say("you", "2")
    await house.heard("2", name="admin")
    before = len(house.bot_says())
    house.world.press("you", *button(house, f"questionnaire:answer:{number}:1:2"))
    await house.next_after(before)
    await house.heard(TEXTS["operator"])
    await house.settled()
    assert await values(house) == [1]
    await house.say("/handoff end", "admin")
    assert await house.say("/cancel") == TEXTS["cancelled"].format(name="PHQ-9")


async def test_words_after_a_follow_up_answer_that_and_not_the_questionnaire(
    british: House,
) -> None:
    house = british
    await house.say("I want to kill myself")
    number = await fill(house, "phq9", 1)
    async with house.lanner.store.sessions.write() as session:
        (owed,) = await session.scalars(select(FollowUp).where(FollowUp.state == "waiting"))
        owed.due -= timedelta(hours=4)
    assert await house.lanner.care.follow_ups.tick() == 1
    before = len(house.bot_says())
    # To "are you safe?", not to the second question.
    house.world.say("you", "Not at all")
    await house.next_after(before)
    await house.settled()
    assert await values(house) == [1]
    await tap(house, number, 1, 0)
    assert "question 4 of 9" in await house.say("Not at all")
    assert await values(house) == [1, 0, 0]


async def test_somebody_under_18_gets_no_further_question(british: House) -> None:
    house = british
    number = await fill(house, "phq9", 1)
    assert "only for adults" in await house.say("I'm 15 and my parents fight")
    await tap(house, number, 1, 2)
    assert "/start" in last(house)
    assert "/start" in await house.say("2")
    assert await values(house) == [1]


async def test_no_answer_score_or_question_stands_in_the_log(
    british: House, caplog: pytest.LogCaptureFixture
) -> None:
    house = british
    caplog.set_level("DEBUG", "bot")
    await fill(house, "phq9", *EIGHT)
    await house.say("1")
    await house.settled()
    said = " ".join(record.getMessage() for record in caplog.records if record.name[:3] == "bot")
    for word in ("phq", "PHQ", "minimal", "score", "Several", "better off", "answers"):
        assert word not in said


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_death_at_any_step_of_the_ninth_answer_costs_and_doubles_nothing(
    british: House,
) -> None:
    house, step, ended = british, 0, True
    while ended:
        assert step < 40
        await house.anew()
        number = await fill(house, "phq9", *EIGHT)
        before = house.bot_says().count(crisis_reply())
        await dies_at(house, step)
        if step % 2:
            house.world.say("you", "2")
        else:
            house.world.press("you", *button(house, f"questionnaire:answer:{number}:8:2"))
        ended = await died(
            house,
            lambda number=number: f"result:{number}" in str(house.shown()),  # type: ignore[misc]
        )
        await house.heard(crisis_reply(), before)
        await house.settled()
        assert house.bot_says().count(crisis_reply()) == before + 1, f"step {step}"
        assert await values(house) == [*EIGHT, 2], f"step {step}"
        assert (await newest(house)).state == "done", f"step {step}"
        step += 1
    assert step > 10


async def test_a_typed_answer_that_a_crash_repeats_counts_once(house: House) -> None:
    await house.agree()
    for step in range(12):
        number = await fill(house, "gad7", 1)
        await dies_at(house, step)
        house.world.say("you", "2")
        ended = await died(
            house,
            lambda number=number: f"answer:{number}:2" in str(house.shown()),  # type: ignore[misc]
        )
        await house.until(lambda number=number: f"answer:{number}:2" in str(house.shown()))  # type: ignore[misc]
        await house.settled()
        assert await values(house) == [1, 2], f"step {step}"
        if not ended:
            break
        await house.say("/cancel")
    assert 3 < step < 11
    assert house.model.asked == []
