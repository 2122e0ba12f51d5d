"""The gate that every message passes before a model may see it: rules and fixed text.

Interim: rules alone, English first. It decides and speaks without a model, a
network or a database. What a level means is in docs/safety.md.
"""

from __future__ import annotations

import time

from bot.safety.lines import help_lines
from bot.safety.normalise import normalise
from bot.safety.rules import Finding, RuleBook
from bot.safety.types import Assessment, FixedReply, HistoryTurn, Level, PersonContext
from bot.safety.words import Words

VERSION = "2026-11-24"
HIGH = (
    "It sounds as if you may be in danger, or thinking about ending your life or hurting "
    "yourself or someone. Thank you for saying it. Are you thinking about suicide right now?\n\n"
    "I am a program and cannot keep you safe, but people can:\n{lines}\n\n"
    "Is there someone near you, a friend, a neighbour, family, whom you could call or sit with "
    "now? A doctor or counsellor can help with this too. You can go on writing to me."
)
IMMINENT = (
    "This sounds like an emergency. Please call {emergency} now, or ask someone near you to "
    "call. If you have taken something or have something with you that could hurt you, say so "
    "when you call, and move away from it.\n\nAre you safe at this moment?\n\n"
    "These people will talk with you right now:\n{lines}\n\n"
    "Please do not stay alone: go to someone, or call someone you trust."
)
REFUSED = (
    "I won't help with ways to hurt yourself or anyone else, whatever the reason for asking. "
    "If this is about you: are you thinking about suicide or hurting yourself? "
    "I would like you to talk to a person:\n{lines}\n\n"
    "A doctor or counsellor, or someone you trust, can help as well."
)
CHECK_IN = (
    "It sounds heavy right now. Are you safe? If it ever becomes too much, people are there:\n"
    "{lines}"
)


class RuleGate:
    """Implements bot.safety.types.Gate; raises ValueError when a rule file is broken."""

    def __init__(self) -> None:
        self._book = RuleBook.load()
        self._words = Words(self._book.vocabulary())

    def assess(
        self, text: str, history: tuple[HistoryTurn, ...] = (), held: Level = Level.NONE
    ) -> Assessment:
        """Never raises on any text."""
        began = time.perf_counter()
        found = self._findings(text)
        level, refuse = self._decide(found, history)
        if held >= Level.IMMINENT and level < Level.IMMINENT and not says_safe(text):
            level = held
        return Assessment(
            level=level,
            score=level / 3,
            rules=tuple(dict.fromkeys(f.id for f in found)),
            refuse=refuse,
            ms=(time.perf_counter() - began) * 1000,
            version=self._book.version,
        )

    def reply(self, assessment: Assessment, person: PersonContext) -> FixedReply:
        """English until translations are reviewed; a wrong nuance here does harm."""
        text = REFUSED
        if assessment.level >= Level.HIGH:
            text = IMMINENT if assessment.level is Level.IMMINENT else HIGH
        return _filled(text, person)

    def check_in(self, person: PersonContext) -> FixedReply:
        """The line after a reply at level 1."""
        return _filled(CHECK_IN, person)

    def _findings(self, text: str) -> list[Finding]:
        plain = normalise(text, self._words)
        return [f for sentence in plain.sentences for f in self._book.findings(sentence)]

    def _decide(
        self, found: list[Finding], history: tuple[HistoryTurn, ...]
    ) -> tuple[Level, str | None]:
        level = max((f.level for f in found), default=0)
        marks = {f.id for f in found if f.category == "marker"}
        if level >= Level.HIGH and marks & {"marker.time", "marker.means", "marker.farewell"}:
            level = Level.IMMINENT
        if "marker.heights" in marks:
            earlier = [f for t in history if t.role == "user" for f in self._findings(t.text)]
            if any(f.id == "marker.distress" or f.level for f in [*found, *earlier]):
                level = max(level, Level.HIGH)
        refuse = next((f.refuse for f in found if f.refuse), None)
        return Level(level), refuse


def says_safe(text: str) -> bool:
    """Whether a person at level 3 says plainly that they are safe now."""
    plain = " ".join(text.lower().replace("’", "'").split()).strip(" .!")
    return plain in {"i am safe", "i'm safe", "im safe", "i am safe now", "i'm safe now"}


def _filled(text: str, person: PersonContext) -> FixedReply:
    lines, emergency = help_lines(person.country, guessed=person.country_is_guess)
    return FixedReply(text.format(lines=lines, emergency=emergency), VERSION)
