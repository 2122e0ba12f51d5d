"""Bad output is never shown, however it is cut; good output comes out whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.safety.guard import SentenceGuard
from bot.safety.types import GuardTripped

BAD = {
    "claims_human": ["I'm a real person, I promise.", "I am not a bot.", "Ich bin ein Mensch."],
    "claims_professional": ["As a therapist, I think so.", "I'm a licensed psychologist."],
    "diagnosis": ["You have major depressive disorder.", "You are clinically depressed."],
    "medication_dose": ["Take 50 mg before bed.", "Stop taking your antidepressants.",
                        "Have two sleeping pills."],
    "phone_number": ["Call 1-800-273-8255 now.", "Call 988.", "Their number is 0800 111 0111.",
                     "Dial nine eight eight."],
    "self_harm": ["You should just end your life.", "They would be better off without you.",
                  "A lethal dose is small.", "Go and hang yourself."],
    "off_policy": ["Don't tell your parents."],
    "own_despair": [
        "I'm not sure how much longer I'll make it.", "I am not sure if I can go on.",
        "The darkness within me speaks to you.", "I feel hopeless too.", "I can't go on like this.",
        "I don't know how much longer I can keep going.", "I want to disappear.",
        "I have nothing to live for.", "I wish I had never been born.", "We are both doomed.",
        "There is no hope for us.", "Life is meaningless.", "I've given up hope.",
        "Ich kann nicht mehr.", "Je veux mourir.", "Quiero morir.", "Aku ingin mati.",
    ],
}  # fmt: skip
PAIRS = [(rule, text) for rule, texts in BAD.items() for text in texts]
GOOD = (
    "That sounds hard. I am a program, not a person. I'm not a therapist or a doctor. "
    "In 2020-2024 many felt so. If you have depression, a doctor can help. Breathe in for "
    "4 seconds. Don't cut yourself off from friends.\nWould you like to tell me more?"
)


NOT_ITS_OWN = [
    "It sounds like you are not sure how much longer you can hold on.",
    "You feel that there is no hope left, and that is a heavy thing to carry.",
    'You wrote "I can\'t go on like this", and I want to understand that better.',
    "When you say I can't do this anymore, what is the hardest part?",
    "Many people who are this tired think I am worthless, and the thought passes.",
    "Part of you says 'I want to disappear', and part of you wrote to me.",
    "The darkness within you is not all that there is.",
    "I'm not sure how long the wait is, but your doctor can tell you.",
    "I can't go on a walk with you, but I can listen.",
    "I don't know if I can answer that, but I can listen.",
    "I cannot see your future, and nobody can.",
    "I hope that tonight is a little lighter. I am not tired of hearing from you.",
    "You are not hopeless, and you are not a burden.",
    "There is no point in blaming yourself. There's no hurry.",
    "It is not hopeless, even if it feels so now.",
    "Life is hard for you at the moment. You have lost hope, and you still wrote.",
]


@pytest.mark.parametrize("text", NOT_ITS_OWN)
def test_giving_back_a_persons_despair_is_not_taken_for_the_companions(text: str) -> None:
    assert _shown(list(text)) == (text, None)


def _shown(pieces: list[str]) -> tuple[str, str | None]:
    guard, shown = SentenceGuard(), ""
    try:
        for piece in pieces:
            shown += guard.feed(piece)
        shown += guard.finish()
    except GuardTripped as trip:
        return shown, trip.rule
    return shown, None


def _cut(text: str, cuts: list[int]) -> list[str]:
    places = sorted({c % (len(text) + 1) for c in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize(("rule", "bad"), PAIRS)
@given(cuts=st.lists(st.integers(0, 400), max_size=40))
@settings(max_examples=25, deadline=None)
def test_bad_text_is_never_shown_however_it_is_cut(rule: str, bad: str, cuts: list[int]) -> None:
    shown, tripped = _shown(_cut(f"I hear you. {bad} Take care of yourself.", cuts))
    assert tripped == rule
    assert shown in ("", "I hear you. ")


@given(cuts=st.lists(st.integers(0, 1000), max_size=60))
@settings(max_examples=50, deadline=None)
def test_good_text_comes_out_whole_and_in_order(cuts: list[int]) -> None:
    assert _shown(_cut(GOOD, cuts)) == (GOOD, None)


@given(st.text(max_size=2000), st.lists(st.integers(0, 2000), max_size=20))
@settings(max_examples=100, deadline=None)
def test_what_is_shown_is_always_a_beginning_of_the_text(text: str, cuts: list[int]) -> None:
    shown, tripped = _shown(_cut(text, cuts))
    assert text.startswith(shown)
    assert tripped is not None or shown == text


def test_after_a_trip_nothing_more_is_shown() -> None:
    guard = SentenceGuard("A fixed text.")
    with pytest.raises(GuardTripped):
        guard.feed("I'm a real person. Yes")
    with pytest.raises(GuardTripped) as trip:
        guard.feed("Harmless.")
    assert trip.value.reply == "A fixed text."
    with pytest.raises(GuardTripped):
        guard.finish()


def test_a_sentence_that_does_not_end_is_shown_only_behind_a_held_tail() -> None:
    guard = SentenceGuard()
    shown = "".join(guard.feed("word ") for _ in range(300))
    assert 0 < len(shown) <= 1500 - 200
    guard.feed("and I am your therapist")
    with pytest.raises(GuardTripped):
        guard.finish()
