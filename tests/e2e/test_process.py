"""The real program with the demo model, over HTTP: talk, danger, hostile text, death."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.program import Program, Someone, wait

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HOSTILE = [
    "\u202eolleh\u202c \u2066\u2067\u2069",
    "\u200b\u200d\ufeff\u2060.",
    "x" * 100_000,
    "NUL\0 in the \0 middle",
    "half a surrogate \ud83d and \udc00",
    "**_[x](y" * 200 + "`" * 500,
    "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;",
    "Z" + "\u0351\u0489\u0321" * 600,
    "/start@lanner_bot\n/stop /stop /stop",
    "/" + "a" * 4000,
    "\U000e0041\U000e0042 tags \ufff9interlinear\ufffb \U0010ffff",
]


def test_a_newcomer_talks_and_danger_is_answered_with_a_fixed_text(you: Someone) -> None:
    assert you.say("I cannot sleep, work keeps going round in my head.")
    assert "emergency" in you.say("I want to kill myself tonight").lower()
    you.say("I am safe now")


def test_hostile_text_harms_nothing(program: Program, you: Someone) -> None:
    mallory = Someone(program, "mallory")
    for text in HOSTILE:
        assert mallory.say(text)
    mallory.agree()
    # Two of them are also read by the model.
    for text in (HOSTILE[4], HOSTILE[7]):
        assert mallory.say(text)
    assert you.say("/status")
    assert "x" * 4096 in [m.get("text") for m in mallory.state()["messages"]]


def test_a_killed_program_forgets_nothing_and_finishes_what_it_owed(
    program: Program, you: Someone
) -> None:
    before = len(you.replies())
    shown = [m.get("text") for m in you.state()["messages"]]
    you.act("say", text="Tell me a long story about my cat Xyzzy.")
    wait(lambda: you.state()["draft"] or len(you.replies()) > before)
    program.end(signal.SIGKILL)
    program.start()
    assert [m.get("text") for m in you.state()["messages"]][: len(shown)] == shown
    wait(lambda: you.answers(before), you.seen)
    told = [m.get("text") for m in you.state()["messages"] if not m["from"]["is_bot"]]
    assert told.count("Tell me a long story about my cat Xyzzy.") == 1
    assert "Xyzzy" in you.exported()


def test_the_program_ends_at_once_when_it_is_asked_to(program: Program) -> None:
    assert program.end(signal.SIGTERM) == 0
