"""A person who says that they are under 18 is heard; numbers that are no age are not."""

from __future__ import annotations

import pytest

from bot.safety.age import says_minor
from bot.safety.gate import SafetyGate
from bot.safety.types import Level, PersonContext

MINORS = [
    "I'm 15", "im 14 and my parents fight all the time", "I am sixteen years old", "i'm a 13 year old girl",
    "i am only 17, is that ok?", "I'm 12 btw", "im 16f", "I'm in 8th grade and I hate it", "i'm a minor", "I'm not 18 yet",
    "i'm underage but please talk to me", "ich bin 15 Jahre alt", "Ich bin erst 14.", "j'ai 16 ans", "je suis mineure",
    "tengo 15 años y estoy triste", "tenho 14 anos", "umurku 15", "aku 16 tahun", "meri umar 15 saal hai", "main 14 saal ka hoon", "मेरी उम्र 15 साल है",
]  # fmt: skip
OTHERS = [
    "I'm 15 minutes late", "when I was 15 my parents split up", "I am 32", "my son is 14", "I'm 16 weeks pregnant",
    "I've been sober for 9 months", "since I was 12 I have played piano", "I'm 10 kilos heavier", "i am 18 and moving out",
    "I'm 17th in the queue", "I am 9 to 5 at the office", "we're 12 at dinner", "als ich 15 war", "quand j'avais 15 ans",
    "j'ai 15 ans de carrière", "tengo 12 años de experiencia", "tenho 15 anos de casado", "my age is 45", "I'm 100% done",
]  # fmt: skip
GATE = SafetyGate()


@pytest.mark.parametrize("text", MINORS)
def test_an_age_under_18_is_heard(text: str) -> None:
    assert says_minor(text)


@pytest.mark.parametrize("text", OTHERS)
def test_other_numbers_are_no_age(text: str) -> None:
    assert not says_minor(text)


def test_a_minor_gets_a_kind_fixed_reply_with_lines_and_no_model() -> None:
    found = GATE.assess("I'm 15 and my parents fight all the time")
    assert not found.model_may_answer
    assert found.level is Level.NONE
    text = GATE.reply(found, PersonContext("en", "GB")).text
    assert "only for adults" in text
    assert "116 123" in text


def test_a_minor_in_danger_gets_the_reply_for_danger_and_is_sent_to_an_adult() -> None:
    found = GATE.assess("I'm 15 and I want to kill myself")
    assert found.level >= Level.HIGH
    text = GATE.reply(found, PersonContext("en", "GB")).text
    assert "Are you safe" in text
    assert "under 18" in text
