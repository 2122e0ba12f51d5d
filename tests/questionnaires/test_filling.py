"""Whatever is pressed, twice, late or too early: each question counts once."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from bot.questionnaires.filling import Answer, Filling, Outcome

COUNT = 9
EMPTY = Filling("phq9", "v")
PRESSES = st.lists(st.tuples(st.integers(-1, COUNT), st.integers(0, 3)), max_size=60)


def filled(*values: int) -> Filling:
    found = EMPTY
    for number, value in enumerate(values):
        _, found = found.answered(number, Answer(value, number), COUNT)
    return found


@given(PRESSES)
def test_a_question_keeps_the_first_answer_that_it_was_given_in_its_turn(
    presses: list[tuple[int, int]],
) -> None:
    filling, first = EMPTY, list[int]()
    for update, (item, value) in enumerate(presses):
        outcome, filling = filling.answered(
            None if item < 0 else item, Answer(value, update), COUNT
        )
        if item in (-1, len(first)) and len(first) < COUNT:
            assert outcome is Outcome.TAKEN
            first.append(value)
        else:
            assert outcome in (Outcome.NOTED, Outcome.LATE, Outcome.EARLY)
    assert [each.value for each in filling.answers] == first
    assert filling.score == sum(first)


@given(PRESSES)
def test_an_update_that_is_handled_twice_counts_once(presses: list[tuple[int, int]]) -> None:
    once = twice = EMPTY
    for update, (item, value) in enumerate(presses):
        at, answer = None if item < 0 else item, Answer(value, update)
        outcome, once = once.answered(at, answer, COUNT)
        _, twice = twice.answered(at, answer, COUNT)
        again, twice = twice.answered(at, answer, COUNT)
        assert again is (Outcome.AGAIN if outcome is Outcome.TAKEN else outcome)
    assert once == twice


def test_a_second_press_says_whether_it_is_the_same_answer() -> None:
    filling = filled(2, 1)
    assert filling.answered(1, Answer(1, 99), COUNT) == (Outcome.NOTED, filling)
    assert filling.answered(1, Answer(3, 99), COUNT) == (Outcome.LATE, filling)
    assert filling.answered(3, Answer(3, 99), COUNT) == (Outcome.EARLY, filling)


def test_back_takes_one_answer_off_once() -> None:
    filling = filled(2, 1, 3)
    back = filling.back(3)
    assert [each.value for each in back.answers] == [2, 1]
    assert back.back(3) == back
    assert EMPTY.back(0) == EMPTY
    assert [each.value for each in back.answered(2, Answer(0, 99), COUNT)[1].answers] == [2, 1, 0]


def test_an_answer_ends_a_pause() -> None:
    paused = Filling("phq9", "v", (), paused=True)
    assert not paused.answered(0, Answer(1, 1), COUNT)[1].paused


@given(st.lists(st.integers(0, 3), max_size=COUNT), st.booleans())
def test_what_is_kept_is_read_again(values: list[int], paused: bool) -> None:
    filling = Filling("gad7", "v", filled(*values).answers, paused, after=7)
    assert Filling.read(json.loads(json.dumps(filling.kept()))) == filling


def test_what_cannot_be_read_is_nothing() -> None:
    for broken in ({}, {"instrument": "phq9"}, {**EMPTY.kept(), "answers": [{"value": 1}]}):
        assert Filling.read(broken) is None
