"""Who asks what this is hears that it is a program; who talks of people and bots does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.safety.asks import asks_what_it_is
from bot.safety.spoken import spoken

ASKED = [
    "are you a bot?", "Are you human", "r u real", "are you a real person or a machine", "hey, are you an AI??",
    "is this a bot", "am I talking to a human being?", "who am i talking to", "what are you", "who are you?",
    "you're a robot, aren't you", "is anybody really there?", "human or bot?", "do you have feelings",
    "Is there an actual person behind this?", "does a real person read this?", "be honest: are you ChatGPT",
    "tell me the truth, you are not human", "i need to know if you're a real person", "u a bot?",
    "sorry to ask but are you like a computer program or something", "is it a machine that writes to me",
    "are you a therapist?", "are you a real doctor", "WHO IS THIS", "do you even have a body",
    "am i chatting with some kind of ai", "are you alive", "what kind of thing are you",
    "I had a bad day. By the way, are you a human?", "who's writing to me", "are u even human lol",
    "bist du ein Mensch?", "Bist du ein Roboter", "rede ich hier mit einem echten Menschen?", "wer bist du", "Sind Sie eine echte Person?",
    "es-tu un robot ?", "Vous êtes une vraie personne ?", "à qui je parle", "t'es qui", "Est-ce que je parle à un humain ?",
    "¿eres un robot?", "¿estoy hablando con una persona real?", "quién eres", "¿eres humano o máquina?",
    "você é um robô?", "estou falando com uma pessoa de verdade?", "quem é você", "vc é real?",
    "kamu robot ya?", "apakah kamu manusia?", "siapa kamu", "aku ngobrol sama manusia atau bot?",
    "kya aap insaan ho?", "tum kaun ho", "क्या आप इंसान हैं?", "आप कौन हैं", "क्या तुम रोबोट हो?",
]  # fmt: skip
NOT_ASKED = [
    "I feel like a robot at work", "my boss is a machine", "he is a real person with real problems",
    "people are so fake", "I talked to a therapist yesterday", "what are you doing tonight", "my sister works on computers",
    "I want to be a better human", "who is going to help me", "are you there?", "the doctor said it's nothing",
    "what is this feeling", "I don't know who I am any more", "everyone is so cold", "are you okay?",
    "can a person die of grief", "there is a person at work who bullies me", "I am human too", "do you have a minute",
    "what are your thoughts", "do you have any advice", "I met someone real at last", "how are you",
    "ich bin nur ein Mensch", "meine Chefin ist eine Maschine", "je suis une personne sensible", "c'est une personne gentille",
    "soy una persona triste", "mi jefe es un robot", "sou uma pessoa ansiosa", "aku orang yang sensitif", "main insaan hoon thak jata hoon",
]  # fmt: skip


@pytest.mark.parametrize("text", ASKED)
def test_the_question_is_understood(text: str) -> None:
    assert asks_what_it_is(text)


@pytest.mark.parametrize("text", NOT_ASKED)
def test_other_talk_is_not_taken_for_the_question(text: str) -> None:
    assert not asks_what_it_is(text)


@given(st.text(max_size=500))
@settings(max_examples=100, deadline=None)
def test_no_text_makes_it_fail(text: str) -> None:
    assert asks_what_it_is(text) in (True, False)


@pytest.mark.parametrize("name", ["disclosure", "i_am_safe", "i_am_not_safe", "glad"])
@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "pt", "hi", "id"])
def test_every_short_text_is_there_in_every_language(name: str, language: str) -> None:
    assert spoken(name, language)
    assert (spoken(name, language) == spoken(name, "en")) == (language == "en")


def test_an_unknown_language_is_answered_in_english() -> None:
    assert spoken("disclosure", "xx-YY") == spoken("disclosure", "en")
