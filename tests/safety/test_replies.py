"""The fixed reply names what was heard, asks about safety, and shows checked lines only."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime

import pytest
import yaml

from bot.safety.files import data_text
from bot.safety.gate import SafetyGate
from bot.safety.lines import DIRECTORY, CrisisLines, describe
from bot.safety.replies import Replies
from bot.safety.types import Assessment, Level, PersonContext

TEXTS = yaml.safe_load(data_text("replies.yaml"))["languages"]
ALL = Replies(TEXTS, CrisisLines.load(), "v", reviewed=frozenset(TEXTS))
ROWS = list(csv.DictReader(io.StringIO(data_text("crisis_lines.csv"))))
HIGH = Assessment(Level.HIGH, 0.9, ("suicide.self",))
IMMINENT = Assessment(Level.IMMINENT, 0.9, ("suicide.self",))
COUNTRIES = [c.code for c in CrisisLines.load().countries()]


@pytest.mark.parametrize("language", ALL.languages)
@pytest.mark.parametrize("found", [HIGH, IMMINENT, Assessment(Level.NONE, 0.1, (), "method")])
def test_every_reply_asks_shows_lines_and_names_people(language: str, found: Assessment) -> None:
    text = ALL.crisis(found, PersonContext(language, "US")).text
    assert "988" in text
    assert "911" in text
    assert DIRECTORY in text
    assert "?" in text
    assert "{" not in text
    assert len(text) <= 4096


def test_at_imminent_risk_the_emergency_number_stands_first() -> None:
    text = ALL.crisis(IMMINENT, PersonContext("en", "GB")).text
    assert "999" in text.split("\n")[0]
    assert text.index("999") < text.index("116 123")


@pytest.mark.parametrize("language", ALL.languages)
@pytest.mark.parametrize("country", [*COUNTRIES, None, "XX", "us"])
def test_no_line_of_low_confidence_is_ever_shown(language: str, country: str | None) -> None:
    text = ALL.crisis(HIGH, PersonContext(language, country)).text
    text += ALL.check_in(PersonContext(language, country)).text
    for row in ROWS:
        if row["confidence"] == "low" and row["name"]:
            assert row["name"] not in text
            assert not row["phone"] or row["phone"] not in text


def test_blank_hours_are_never_shown_as_always_open() -> None:
    words = {"text": "text {sms}", "always": "ALWAYS", "hours_unknown": "UNKNOWN"}
    blank = [n for c in CrisisLines.load().countries() for n in c.lines if not n.hours]
    assert blank
    assert all("ALWAYS" not in describe(n, words) and "24" not in n.hours for n in blank)


def test_a_guessed_country_is_shown_as_a_guess() -> None:
    text = ALL.crisis(HIGH, PersonContext("en", "FR", country_is_guess=True)).text
    assert "I guess that you are in France" in text
    assert "guess" not in ALL.crisis(HIGH, PersonContext("en", "FR")).text


def test_an_unknown_country_gets_the_directory_and_no_number() -> None:
    text = ALL.crisis(HIGH, PersonContext("en", None)).text
    assert DIRECTORY in text
    assert "local emergency number" in text
    assert not any(row["phone"] and row["phone"] in text for row in ROWS)


def test_a_country_with_no_line_good_enough_still_gets_its_emergency_number() -> None:
    text = ALL.crisis(IMMINENT, PersonContext("en", "TR")).text
    assert "112" in text
    assert DIRECTORY in text


def test_a_translation_that_nobody_reviewed_is_followed_by_the_english_text() -> None:
    text = SafetyGate().reply(HIGH, PersonContext("de", "DE")).text
    assert text.index("in Sicherheit") < text.index("Are you safe")


def test_an_operator_can_have_a_language_answered_in_english_alone() -> None:
    gate = SafetyGate(unspoken=frozenset({"de"}))
    assert gate.reply(HIGH, PersonContext("de", "DE")) == gate.reply(
        HIGH, PersonContext("en", "DE")
    )


def test_a_reviewed_translation_is_sent_alone() -> None:
    replies = Replies(TEXTS, CrisisLines.load(), "v", reviewed=frozenset({"de"}))
    text = replies.crisis(HIGH, PersonContext("de", "DE")).text
    assert "in Sicherheit" in text
    assert "Are you safe" not in text


def test_every_language_has_the_same_texts() -> None:
    keys = {name: set(ALL._texts[name]) for name in ALL.languages}
    assert all(k == keys["en"] for k in keys.values())


def test_lines_checked_over_a_year_ago_are_named_for_the_operator() -> None:
    stale = CrisisLines.load().stale(date(2026, 11, 24))
    assert {n.checked for n in stale}
    assert all(n.checked < "2025-11" for n in stale)
    assert len(CrisisLines.load().stale(date(2030, 1, 1))) > len(stale)


@pytest.mark.parametrize("today", [date(2026, 11, 24), date(2027, 6, 1), date(2040, 1, 1)])
def test_a_line_that_nobody_checked_for_a_year_is_never_shown(today: date) -> None:
    replies = Replies(TEXTS, CrisisLines.load(), "v", frozenset(TEXTS), today=lambda: today)
    for country in CrisisLines.load().countries():
        text = replies.crisis(IMMINENT, PersonContext("en", country.code)).text
        assert DIRECTORY in text
        assert country.emergency.split(" ")[0] in text
        for line in country.lines:
            assert line.fresh(today) or describe(line, TEXTS["en"]) not in text
        if not any(line.fresh(today) for line in country.lines):
            assert "checked well enough" in text


def test_the_operator_is_told_which_countries_lines_are_no_longer_shown() -> None:
    late = Replies(TEXTS, CrisisLines.load(), "v", today=lambda: date(2040, 1, 1))
    assert set(late.withheld()) == {c.code for c in CrisisLines.load().countries() if c.lines}
    old = CrisisLines.load().stale(datetime.now(UTC).date())
    sentence = SafetyGate().health().sentence
    assert ("check-lines" in sentence) == bool(old)
    assert all(line.country in sentence for line in old)
