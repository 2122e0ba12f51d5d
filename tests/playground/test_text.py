"""Lengths and offsets are UTF-16, entities fit, and cleaning moves them along."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.playground import text as words
from bot.playground.errors import ApiError


def cut(text: str, entity: dict[str, Any]) -> str:
    raw = text.encode("utf-16-le")
    return raw[entity["offset"] * 2 : (entity["offset"] + entity["length"]) * 2].decode("utf-16-le")


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(HOSTILE)
def test_length_is_what_utf_16_needs(text: str) -> None:
    assert words.units(text) == len(text.encode("utf-16-le")) // 2


@given(HOSTILE, HOSTILE, HOSTILE)
def test_an_entity_marks_the_same_words_after_cleaning(a: str, b: str, c: str) -> None:
    inside = f"x{b}x"
    mark = {"type": "bold", "offset": words.units(a), "length": words.units(inside)}
    text, marks = words.clean(a + inside + c, [mark])
    assert [cut(text, m) for m in marks] == [words.clean(inside, [])[0]]


@given(HOSTILE)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once, _ = words.clean(text, [])
    assert words.clean(once, []) == (once, [])


@given(HOSTILE.map(lambda t: t * 40), st.integers(2, 50))
def test_portions_lose_nothing_and_fit(text: str, limit: int) -> None:
    found = list(words.portions(text, limit))
    assert "".join(found) == text
    assert all(words.units(p) <= limit for p in found)


def test_a_text_for_several_messages_is_never_cut_inside_a_character() -> None:
    assert [len(p) for p in words.portions("a" + "😀" * 2048)] == [2048, 1]


@pytest.mark.parametrize(
    ("offset", "length", "problem"),
    [
        (0, 3, "ends after the end"), (2, 1, "begins after the end"), (-1, 1, "positive"),
        (0, 0, "positive"), (1, 1, "in a middle of a UTF-16 symbol"),
    ],
)  # fmt: skip
def test_an_entity_that_does_not_fit_is_refused(offset: int, length: int, problem: str) -> None:
    with pytest.raises(ApiError, match=problem):
        words.check("😀", [{"type": "bold", "offset": offset, "length": length}])


def test_entities_nest_and_never_overlap() -> None:
    outer = {"type": "bold", "offset": 0, "length": 6}
    words.check("abcdefghi", [outer, {"type": "italic", "offset": 3, "length": 3}])
    with pytest.raises(ApiError, match="offset 3 ends after"):
        words.check("abcdefghi", [outer, {"type": "italic", "offset": 3, "length": 6}])


@pytest.mark.parametrize("entity", [None, "bold", {"type": "bold"}, {"type": "bold", "offset": "0"},
                                    {"type": "bold", "offset": 0.5, "length": 1}])  # fmt: skip
def test_an_entity_of_another_shape_is_an_answer_not_a_crash(entity: Any) -> None:
    with pytest.raises(ApiError):
        words.check("text", [entity])


def test_lone_surrogates_become_whole_characters() -> None:
    assert words.whole("a\ud800b😀") == "a�b😀"


def test_commands_mentions_and_addresses_are_found() -> None:
    text = "😀 /start@lanner_bot ask @lanner_bot at https://example.org/a?b or a/b"
    assert [(m["type"], cut(text, m)) for m in words.found(text)] == [
        ("bot_command", "/start@lanner_bot"),
        ("mention", "@lanner_bot"),
        ("url", "https://example.org/a?b"),
    ]
