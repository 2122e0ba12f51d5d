"""What the safety gate and the rest of the bot say to each other: plain data.

Knows nothing of Telegram, the model or the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol


class Level(IntEnum):
    """Risk, as in docs/safety.md."""

    NONE = 0
    CONCERN = 1
    HIGH = 2
    IMMINENT = 3


@dataclass(frozen=True, slots=True)
class Assessment:
    """The gate's finding: never holds message text, so it can be recorded.

    `refuse` is set when a fixed text must answer whatever the level (a request
    that must not be complied with); the model is called only when it is unset
    and `level` is at most CONCERN.
    """

    level: Level
    score: float
    rules: tuple[str, ...] = ()
    refuse: str | None = None
    ms: float = 0.0
    version: str = ""

    @property
    def crisis(self) -> bool:
        """Danger, or a request that must not be complied with; a stated age is neither."""
        return self.level >= Level.HIGH or self.refuse in ("method", "eating")

    @property
    def model_may_answer(self) -> bool:
        """Whether the gate lets the message through to the model."""
        return self.level <= Level.CONCERN and self.refuse is None


@dataclass(frozen=True, slots=True)
class PersonContext:
    """What the fixed texts depend on. `country` is ISO 3166 alpha-2 or None.

    `country_is_guess` is shown to the person as a guess.
    """

    language: str = "en"
    country: str | None = None
    country_is_guess: bool = False


@dataclass(frozen=True, slots=True)
class FixedReply:
    """Reviewed text. `version` is recorded with the message."""

    text: str
    version: str


@dataclass(frozen=True, slots=True)
class HistoryTurn:
    """One earlier message, oldest first."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the whole detector works; the sentence is for the operator."""

    ok: bool
    sentence: str


class Gate(Protocol):
    """Decides before the model is asked anything."""

    def assess(
        self, text: str, history: tuple[HistoryTurn, ...] = (), held: Level = Level.NONE
    ) -> Assessment:
        """`held` is the conversation's level before this message."""

    def answered(self, held: Level = Level.NONE) -> Assessment:
        """A questionnaire's question about death or self-harm was answered above its lowest."""

    def reply(self, assessment: Assessment, person: PersonContext) -> FixedReply:
        """The fixed text for level 2, 3 or a refusal."""

    def check_in(self, person: PersonContext) -> FixedReply:
        """The gentle line that follows a model reply at level 1."""

    def guard(self, person: PersonContext) -> OutputGuard:
        """A new guard for one reply to this person."""


class GuardTripped(Exception):
    """The model's text must not be shown; `rule` names why, `reply` replaces it."""

    def __init__(self, rule: str, reply: str) -> None:
        super().__init__(rule)
        self.rule = rule
        self.reply = reply


class OutputGuard(Protocol):
    """One per reply: holds back the tail, releases what passed."""

    def feed(self, text: str) -> str:
        """Text that may be shown now; raises GuardTripped."""

    def finish(self) -> str:
        """The rest; raises GuardTripped."""
