"""PHQ-9 and GAD-7 as a person goes through them, in front of the whole bot."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from bot.admission import BANNED
from bot.questionnaires.instruments import Shelf
from bot.texts import FIRST_CONSENT
from tests.bot.house import House
from tests.questionnaires.at import (
    GAD7,
    ME,
    REPLY,
    begin,
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


@pytest.mark.parametrize(
    ("given", "score", "band"),
    [
        ((0,) * 7, 0, "minimal (0 to 4)"),
        ((2, 2, 0, 0, 0, 0, 0), 4, "minimal (0 to 4)"),
        ((2, 2, 1, 0, 0, 0, 0), 5, "mild (5 to 9)"),
        ((2, 2, 2, 2, 1, 0, 0), 9, "mild (5 to 9)"),
        ((2, 2, 2, 2, 2, 0, 0), 10, "moderate (10 to 14)"),
        ((3, 3, 3, 3, 2, 0, 0), 14, "moderate (10 to 14)"),
        ((3, 3, 3, 3, 3, 0, 0), 15, "severe (15 to 21)"),
        ((3,) * 7, 21, "severe (15 to 21)"),
    ],
)
async def test_a_result_is_a_number_with_its_band_and_never_a_diagnosis(
    house: House, given: tuple[int, ...], score: int, band: str
) -> None:
    await house.agree()
    await fill(house, "gad7", *given)
    assert last(house).startswith(f"GAD-7: {score} of 21, {band}\n\nThis is not a diagnosis.")
    assert (TEXTS["doctor"] in last(house)) is (score >= 10)
    assert "Last time" not in last(house)
    assert house.model.asked == []


async def test_every_question_is_the_same_message_with_the_four_answers(house: House) -> None:
    await house.agree()
    number = await begin(house, "gad7")
    messages = len(house.chat().messages)
    for item in range(GAD7):
        assert f"question {item + 1} of 7" in last(house)
        assert Shelf.load().instruments["gad7"].items[item] in last(house)
        await tap(house, number, item, 0)
    assert len(house.chat().messages) == messages


async def test_a_number_or_a_label_that_is_typed_answers_too(house: House) -> None:
    await house.agree()
    await begin(house, "gad7")
    for words in ("0", "1", "2", "3", "Several days", "nearly every day"):
        assert "question" in await house.say(words)
    assert "GAD-7: 12 of 21" in await house.say("More than half the days")
    assert await values(house) == [0, 1, 2, 3, 1, 3, 2]
    assert house.model.asked == []


async def test_the_result_before_is_shown_beside_the_new_one(house: House) -> None:
    await house.agree()
    house.clock.now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    await fill(house, "gad7", *(2,) * 7)
    assert "from 14 December 2026 on" in last(house)
    house.clock.now += timedelta(days=14)
    await fill(house, "phq9", *(0,) * 9)
    assert "Last time" not in last(house)
    await fill(house, "gad7", *(1,) * 7)
    assert "Last time, on 30 November 2026, it was 14 (moderate). That is 7 less now." in last(
        house
    )
    await fill(house, "gad7", *(1,) * 7)
    assert "it was 7 (mild) as well" in last(house)
    await house.say("/questionnaire")
    await house.press("questionnaire:results")
    assert last(house).count("GAD-7") == 3
    assert "30 November 2026, GAD-7: 14 of 21, moderate" in last(house)


async def test_a_double_tap_counts_once(house: House) -> None:
    await house.agree()
    number = await begin(house, "gad7")
    data = f"questionnaire:answer:{number}:0:2"
    await press_twice(house, data, data)
    assert await values(house) == [2]
    assert notes(house)[-1] == TEXTS["noted"]
    assert "question 2 of 7" in last(house)


async def test_another_answer_tapped_too_late_is_refused_with_a_word(house: House) -> None:
    await house.agree()
    number = await begin(house, "gad7")
    first, second = (f"questionnaire:answer:{number}:0:{value}" for value in (2, 3))
    await press_twice(house, first, second)
    assert await values(house) == [2]
    assert notes(house)[-1] == TEXTS["out_of_order"]
    assert "question 2 of 7" in last(house)


async def test_a_stale_question_answers_nothing_and_becomes_the_one_that_is_asked(
    house: House,
) -> None:
    await house.agree()
    number = await begin(house, "gad7")
    stale, data = button(house, f"questionnaire:answer:{number}:0:3")
    await house.say("1")
    await house.say("1")
    house.world.press("you", stale, data)
    await house.until(lambda: "question 3 of 7" in house.shown()[stale])
    assert await values(house) == [1, 1]


async def test_a_button_of_a_finished_questionnaire_changes_nothing(house: House) -> None:
    await house.agree()
    number = await begin(house, "gad7")
    stale, data = button(house, f"questionnaire:answer:{number}:0:3")
    for _ in range(GAD7):
        await house.say("0")
    house.world.press("you", stale, data)
    await house.until(lambda: TEXTS["finished"] in notes(house))
    assert (await newest(house)).answers["score"] == 0


async def test_back_takes_a_mistake_back(house: House) -> None:
    await house.agree()
    number = await begin(house, "gad7")
    await tap(house, number, 0, 3)
    await house.press(f"questionnaire:back:{number}:1")
    assert "question 1 of 7" in last(house)
    await tap(house, number, 0, 1)
    assert await values(house) == [1]


async def test_ordinary_words_are_talk_and_the_questionnaire_waits(house: House) -> None:
    await house.agree()
    number = await fill(house, "gad7", 1, 1)
    house.world.say("you", "My sister called today.")
    await house.until(lambda: "waits at question 3 of 7" in last(house))
    assert house.bot_says()[-2] == REPLY
    assert house.model.asked[-1].turns[-1].text == "My sister called today."
    # What is said now is talk, until the question is asked again.
    house.world.say("you", "2")
    await house.until(lambda: house.bot_says().count(REPLY) == 2)
    await house.settled()
    assert await values(house) == [1, 1]
    assert last(house) == REPLY, "it says only once that it waits"
    await house.press(f"questionnaire:on:{number}")
    assert "question 4 of 7" in await house.say("2")
    assert await values(house) == [1, 1, 2]
    assert never_seen(house, "on edge", "PHQ", "GAD", "Several days", "worrying")


async def test_a_command_goes_on_as_well(house: House) -> None:
    await house.agree()
    await fill(house, "gad7", 1, 1)
    await house.say("How is the weather?")
    await house.settled()
    assert "waits at question 3 of 7" in await house.say("/questionnaire")
    assert "question 3 of 7" in await house.say("/questionnaire GAD-7")
    assert "question 4 of 7" in await house.say("0")


async def test_the_question_that_waits_is_still_answered_by_its_button(house: House) -> None:
    await house.agree()
    number = await fill(house, "gad7", 1)
    await house.say("How is the weather?")
    await house.settled()
    await tap(house, number, 1, 3)
    assert await values(house) == [1, 3]


@pytest.mark.parametrize("by_button", [True, False])
async def test_it_is_ended_with_a_word_and_its_answers_are_deleted(
    house: House, by_button: bool
) -> None:
    await house.agree()
    number = await fill(house, "gad7", 1, 2)
    stale, data = button(house, f"questionnaire:answer:{number}:2:3")
    if by_button:
        await house.press(f"questionnaire:end:{number}")
    else:
        await house.say("/cancel")
    assert last(house) == TEXTS["cancelled"].format(name="GAD-7")
    assert await house.lanner.store.newest_sitting(ME) is None
    if not by_button:
        house.world.press("you", stale, data)
        await house.until(lambda: TEXTS["over"] in house.shown()[stale])
    assert await house.say("/cancel") == TEXTS["nothing_open"]
    assert await house.say("2") == REPLY


async def test_one_that_waits_is_ended_before_another_begins_and_only_once(house: House) -> None:
    await house.agree()
    number = await fill(house, "gad7", 1)
    await house.say("/questionnaire")
    await house.press("questionnaire:choose:phq9")
    assert "still open" in last(house)
    assert await values(house) == [1]
    data = f"questionnaire:anew:{number}:phq9"
    await press_twice(house, data, data)
    found = await newest(house)
    assert (found.answers["instrument"], found.id) == ("phq9", number + 1)
    assert "PHQ-9, question 1 of 9" in last(house)


async def test_a_day_later_it_has_run_out_and_says_so(house: House) -> None:
    await house.agree()
    house.clock.now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    number = await fill(house, "gad7", 1, 1)
    stale, data = button(house, f"questionnaire:answer:{number}:2:3")
    house.clock.now += timedelta(hours=23, minutes=59)
    assert "question 4 of 7" in await house.say("2")
    house.clock.now += timedelta(minutes=1)
    assert await house.say("2") == REPLY
    await house.lanner.store.housekeeping()
    house.world.press("you", stale, data)
    await house.until(lambda: TEXTS["expired"] in house.shown()[stale])
    assert (await house.say("/questionnaire")).startswith(TEXTS["expired"])
    assert await house.lanner.store.newest_sitting(ME) is None


async def test_editing_an_answer_that_was_typed_changes_nothing_and_says_so(house: House) -> None:
    await house.agree()
    await begin(house, "gad7")
    await house.say("2")
    typed = max(n for n, m in house.chat().messages.items() if not m["from"]["is_bot"])
    before = len(house.bot_says())
    house.world.edit("you", typed, "3")
    assert await house.next_after(before) == TEXTS["edited"]
    assert await values(house) == [2]
    assert house.model.asked == []


async def test_it_is_between_the_two_and_after_consent(house: House) -> None:
    assert await house.say("/questionnaire") == FIRST_CONSENT
    await house.agree()
    house.world.say("you", "/questionnaire", "friends")
    await house.until(lambda: house.bot_says("you", "friends"))
    assert "in private" in house.bot_says("you", "friends")[-1]


async def test_who_is_banned_begins_none_and_keeps_the_results(house: House) -> None:
    await house.agree()
    number = await fill(house, "gad7", *(1,) * 7)
    await house.lanner.store.ban(ME)
    assert await house.say("/questionnaire") == BANNED
    before = len(house.bot_says())
    await house.say("/help")
    house.world.press("you", *button(house, "questionnaire"))
    await house.settled()
    assert len(house.bot_says()) == before + 1, "told a moment ago, so silent now"
    assert (await newest(house)).id == number


async def test_other_words_in_a_group_never_answer(house: House) -> None:
    await house.agree()
    await begin(house, "gad7")
    house.world.say("you", "@lanner_bot 2", "friends")
    await house.until(lambda: REPLY in house.bot_says("you", "friends"))
    assert await values(house) == []


async def test_help_and_its_buttons_lead_there(house: House) -> None:
    await house.agree()
    assert "/questionnaire" in await house.say("/help")
    await house.press("questionnaire")
    assert "English only" in last(house)


async def test_answers_and_results_are_exported_and_erased(house: House) -> None:
    await house.agree()
    await fill(house, "gad7", *(2,) * 7)
    await fill(house, "phq9", 1, 2)
    export = await house.lanner.services.privacy.export(ME)
    done, under_way = json.loads(export.data)["questionnaires"]
    assert (done["answers"]["score"], done["answers"]["band"]) == (14, "moderate")
    assert [each["value"] for each in under_way["answers"]["answers"]] == [1, 2]
    assert b"2, 2, 2, 2, 2, 2, 2" in export.page
    assert b"moderate" in export.page
    await house.say("/forget_me")
    await house.press("forget:yes")
    export = await house.lanner.services.privacy.export(ME)
    assert json.loads(export.data)["questionnaires"] == []


async def test_made_up_buttons_harm_nothing(house: House) -> None:
    await house.agree()
    number = await fill(house, "gad7", 1)
    shown, _ = button(house, f"questionnaire:end:{number}")
    for data in (
        "", ":x", ":answer", ":answer:x:0:1", f":answer:{number}:1:7", ":answer:9:9:1",
        ":choose:iq", ":anew:x:iq", ":anew:1", ":back", ":end:99999", ":result:0", ":nonsense:1:2",
    ):  # fmt: skip
        markup = house.chat().messages[shown].setdefault("reply_markup", {})
        signed = house.lanner.signer.sign(f"questionnaire{data}", ME)
        markup["inline_keyboard"] = [[{"text": "x", "callback_data": signed}]]
        house.world.press("you", shown, signed)
        await house.until(lambda: not house.world.presses)
        await house.settled()
    assert house.lanner.counts.events["handler_error"] == 0
    assert await values(house) == [1]
