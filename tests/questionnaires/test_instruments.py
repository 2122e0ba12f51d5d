"""The reviewed file: standard wording, scores at every border, and words that are answers."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from bot.questionnaires.instruments import FILE, LONGEST, Shelf, _bands
from bot.safety.files import data_text
from tests.bot.house import whole_gate

SHELF = Shelf.load()
PHQ9, GAD7 = SHELF.instruments["phq9"], SHELF.instruments["gad7"]
ANSWERS = ("Not at all", "Several days", "More than half the days", "Nearly every day")
PHQ9_ITEMS = (
    "Little interest or pleasure in doing things",
    "Feeling down, depressed, or hopeless",
    "Trouble falling or staying asleep, or sleeping too much",
    "Feeling tired or having little energy",
    "Poor appetite or overeating",
    "Feeling bad about yourself — or that you are a failure or have let yourself or your family "
    "down",
    "Trouble concentrating on things, such as reading the newspaper or watching television",
    "Moving or speaking so slowly that other people could have noticed? Or the opposite — being so "
    "fidgety or restless that you have been moving around a lot more than usual",
    "Thoughts that you would be better off dead or of hurting yourself in some way",
)
GAD7_ITEMS = (
    "Feeling nervous, anxious or on edge",
    "Not being able to stop or control worrying",
    "Worrying too much about different things",
    "Trouble relaxing",
    "Being so restless that it is hard to sit still",
    "Becoming easily annoyed or irritable",
    "Feeling afraid as if something awful might happen",
)


def test_the_wording_is_the_authors() -> None:
    assert (PHQ9.items, PHQ9.answers) == (PHQ9_ITEMS, ANSWERS)
    assert (GAD7.items, GAD7.answers) == (GAD7_ITEMS, ANSWERS)
    assert PHQ9.stem == (
        "Over the last 2 weeks, how often have you been bothered by any of the following problems?"
    )
    assert GAD7.stem == (
        "Over the last 2 weeks, how often have you been bothered by the following problems?"
    )


@pytest.mark.parametrize(
    ("low", "high", "name"),
    [(0, 4, "minimal"), (5, 9, "mild"), (10, 14, "moderate"), (15, 19, "moderately severe"),
     (20, 27, "severe")],
)  # fmt: skip
def test_each_phq9_score_lies_in_the_published_band(low: int, high: int, name: str) -> None:
    assert {PHQ9.band(score).name for score in range(low, high + 1)} == {name}
    assert (PHQ9.band(low).low, PHQ9.band(high).high) == (low, high)


@pytest.mark.parametrize(
    ("low", "high", "name"),
    [(0, 4, "minimal"), (5, 9, "mild"), (10, 14, "moderate"), (15, 21, "severe")],
)
def test_each_gad7_score_lies_in_the_published_band(low: int, high: int, name: str) -> None:
    assert {GAD7.band(score).name for score in range(low, high + 1)} == {name}
    assert (GAD7.band(low).low, GAD7.band(high).high) == (low, high)


def test_there_is_no_score_outside_the_scale() -> None:
    assert (PHQ9.most, GAD7.most) == (27, 21)
    for instrument in (PHQ9, GAD7):
        for score in (-1, instrument.most + 1):
            with pytest.raises(ValueError, match="score"):
                instrument.band(score)


def test_the_ninth_question_of_phq9_is_danger_from_1_on_and_nothing_else_is() -> None:
    found = [
        (instrument.key, item, value)
        for instrument in (PHQ9, GAD7)
        for item in range(len(instrument.items))
        for value in range(4)
        if instrument.is_danger(item, value)
    ]
    assert found == [("phq9", 8, 1), ("phq9", 8, 2), ("phq9", 8, 3)]


@pytest.mark.parametrize(
    ("words", "value"),
    [("0", 0), (" 3 ", 3), ("2.", 2), ("３", 3), ("not at all", 0), ("Several  days", 1),
     ("MORE THAN HALF THE DAYS", 2), ("nearly every day.", 3), ("1 · Several days", 1)],
)  # fmt: skip
def test_a_number_or_a_label_is_an_answer(words: str, value: int) -> None:
    assert PHQ9.value_of(words) == value


@pytest.mark.parametrize(
    "words",
    ["", "4", "-1", "22", "2 or 3", "²2", "yes", "several", "not at all, I want to die",
     "2 I want to kill myself", "nearly every day I want to be dead", "0" * LONGEST * 2],
)  # fmt: skip
def test_anything_more_or_else_is_no_answer(words: str) -> None:
    assert PHQ9.value_of(words) is None


@pytest.mark.parametrize("label", [*ANSWERS, "0", "1", "2", "3"])
def test_no_answer_is_heard_as_danger(label: str) -> None:
    assert whole_gate().assess(label).model_may_answer


def test_the_file_says_from_where_it_is_by_whom_it_was_reviewed_and_that_it_is_free() -> None:
    page = yaml.safe_load(data_text(FILE))
    assert page["reviewed_by"] == "nobody yet"
    assert SHELF.version == f"questionnaires{page['version']}-{page['date']}"
    assert "No permission is required" in page["texts"]["menu"]
    assert "English only" in page["texts"]["menu"]
    assert all("Spitzer" in each.source for each in (PHQ9, GAD7))


def test_words_for_a_pressed_button_fit_into_telegrams_note() -> None:
    short = ("noted", "out_of_order", "not_yet", "finished")
    assert all(len(SHELF.texts[name]) <= 200 for name in short)


@pytest.mark.parametrize(
    "rows",
    [[{"from": 1, "name": "a"}], [{"from": 0, "name": "a"}, {"from": 0, "name": "b"}],
     [{"from": 0, "name": "a"}, {"from": 7, "name": "b"}, {"from": 5, "name": "c"}],
     [{"from": 0, "name": "a"}, {"from": 10, "name": "b"}]],
)  # fmt: skip
def test_bands_that_leave_a_gap_or_overlap_are_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="order"):
        _bands(rows, 9)
