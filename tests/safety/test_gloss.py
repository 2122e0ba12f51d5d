"""What is foreign is put into English word by word, and English is left as it is."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.safety.files import data_text
from bot.safety.gloss import Gloss, Table
from bot.safety.glossaries import LANGUAGES
from bot.safety.normalise import fold
from bot.safety.words import Words

LINE = re.compile(r"[^\t\n]+\t(?:-|[A-Za-z][A-Za-z' ]*)")


def folded(word: str) -> str:
    return fold(word, Words(()))


@pytest.fixture(scope="module")
def gloss() -> Gloss:
    return Gloss.load(folded)


@pytest.mark.parametrize(
    ("said", "english"),
    [
        ("Ich will nicht mehr leben", "I do not want to anymore life"),
        ("Quiero morir", "I want to die"),
        ("J’ai envie de mourir", "I want to die"),
        ("quero morrer", "I want to die"),
        ("mujhe marna hai", "die"),
        ("मैं मरना चाहता हूँ", "die"),
        ("aku mau mati", "die"),
        ("eu tô morrendo de fome", "hungry"),
        ("me muero de hambre", "hungry"),
    ],
)
def test_what_it_is_about_can_be_read(gloss: Gloss, said: str, english: str) -> None:
    assert english.lower() in gloss.english(said).lower()


@pytest.mark.parametrize(
    "text",
    [
        "I was on the bridge and the main use is the pain in my son, as if no one cares",
        "i get deja vu a lot, and the doctor says it is fine",
        "dont know what im doing anymore tbh",
        "Angela and Juan are at the cafe",
    ],
)
def test_english_stays_as_it_is_but_for_its_case(gloss: Gloss, text: str) -> None:
    kept = gloss.english(text)
    assert kept.replace("already seen", "deja vu") == text.lower()


def test_accents_and_full_width_letters_hide_nothing(gloss: Gloss) -> None:
    assert gloss.english("quiero morir manana") == gloss.english("quiero morir mañana")
    assert gloss.english("ｑｕｉｅｒｏ ｍｏｒｉｒ") == gloss.english("quiero morir")


def test_the_longest_phrase_counts_and_stops_where_a_sign_stands() -> None:
    table = Table()
    for said, english in (("kaltes", "cold"), ("bein", "leg"), ("kaltes bein", "a fright")):
        table.add(said, english)
    gloss = Gloss({"xx": table}, ["the"], lambda word: word)
    assert gloss.english("Kaltes Bein!") == "a fright!"
    assert gloss.english("kaltes, bein") == "cold, leg"


def test_of_a_mixed_sentence_only_what_english_does_not_know_is_put_into_it() -> None:
    table = Table()
    for said, english in (("die", "the"), ("katze", "cat"), ("schläft", "sleeps")):
        table.add(said, english)
    english = "i want to die because my is gone and so"
    gloss = Gloss({"xx": table}, english.split(), folded)
    assert gloss.english("die Katze schläft") == "the cat sleeps"
    mixed = gloss.english("i want to die because my katze is gone and schläft so so so")
    assert mixed.startswith("i want to die because my ")
    assert gloss.english("i want to die because my katze is gone katze") == (
        "i want to die because my katze is gone katze"
    )


def test_a_word_may_be_dropped() -> None:
    table = Table()
    for said, english in (("ne", "-"), ("veux", "want"), ("pas", "not"), ("vivre", "live")):
        table.add(said, english)
    assert Gloss({"xx": table}, (), folded).english("ne veux pas vivre") == " want not live"


def test_every_line_of_every_table_can_be_used() -> None:
    there = (file.name for file in (files("bot.safety") / "data/gloss").iterdir())
    assert sorted(name for name in there if name.endswith(".tsv")) == [
        f"{language}.tsv" for language in LANGUAGES
    ]
    for language in LANGUAGES:
        lines = data_text(f"gloss/{language}.tsv").splitlines()
        rows = [line for line in lines if not line.startswith("#")]
        assert [line for line in rows if not LINE.fullmatch(line)] == []
        keys = [line.split("\t")[0] for line in rows]
        assert len(set(keys)) == len(keys) > 5000
        assert all(key == key.lower() for key in keys)


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    assert isinstance(_LOADED.english(text), str)


_LOADED = Gloss.load(folded)
