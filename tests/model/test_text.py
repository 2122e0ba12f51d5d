"""Text grows by whole characters and never shows a stop string."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.text import HALF, TextStream
from tests.model import tiny

TOKENIZER = tiny.tokenizer()


def pieces(text: str, stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    stream = TextStream(TOKENIZER, stop)
    found = []
    for token in TOKENIZER(text)["input_ids"]:
        found.append(stream.push(token))
        if stream.stopped:
            break
    return [*found, stream.finish()], stream


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters=HALF)))
def test_pieces_add_up_to_the_text_and_hold_no_half_character(text: str) -> None:
    found, stream = pieces(text)
    assert "".join(found) == stream.text == text.lstrip()
    assert not any(HALF in piece for piece in found)


def test_a_character_cut_off_by_the_length_limit_is_not_shown() -> None:
    stream = TextStream(TOKENIZER, ())
    for token in TOKENIZER("hi 😀")["input_ids"][:-1]:
        stream.push(token)
    stream.finish()
    assert stream.text == "hi "


@given(st.text("ab<:", max_size=30), st.text("ab<:", min_size=1, max_size=4))
def test_nothing_from_a_stop_string_on_is_ever_shown(text: str, stop: str) -> None:
    found, stream = pieces(text, (stop,))
    assert "".join(found) == stream.text == text.split(stop)[0]
    assert stream.stopped == (stop in text)


def test_the_earliest_of_several_stop_strings_ends_the_text() -> None:
    _, stream = pieces("yes\n<HUMAN>: no", ("<HUMAN>:", "\n<HUMAN>:"))
    assert stream.text == "yes"
