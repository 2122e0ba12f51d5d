"""One filling-in of a questionnaire: which answer counts, once, and which is refused.

Values that do not change: each step gives a new one. Knows nothing of what is
asked, of the database or of Telegram.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from typing import Any, Self


class Outcome(Enum):
    """What became of an answer."""

    TAKEN = auto()
    AGAIN = auto()  # the same update once more, after a crash
    NOTED = auto()  # the same answer to the same question by another press
    LATE = auto()  # another answer to a question that has one
    EARLY = auto()  # an answer to a question that was not asked yet


@dataclass(frozen=True, slots=True)
class Answer:
    """A value, the update that brought it, and its message where it was typed (else 0)."""

    value: int
    update: int
    message: int = 0


@dataclass(frozen=True, slots=True)
class Filling:
    """`paused`: something else was said since, so that a bare "2" is no answer.

    `after` is the newest message of the talk when the question was asked: a newer one, a
    follow-up's "are you safe?" for one, may be what bare words answer.
    """

    instrument: str
    version: str
    answers: tuple[Answer, ...] = ()
    paused: bool = False
    after: int = 0

    @property
    def score(self) -> int:
        """The sum of the answers so far."""
        return sum(each.value for each in self.answers)

    def answered(self, item: int | None, answer: Answer, count: int) -> tuple[Outcome, Filling]:
        """An answer to an item (None: to the one that is asked now) of `count`."""
        if self.by(answer.update) is not None:
            return Outcome.AGAIN, self
        here = len(self.answers)
        at = here if item is None else item
        if at < here:
            same = self.answers[at].value == answer.value
            return (Outcome.NOTED if same else Outcome.LATE), self
        if at > here or at >= count:
            return Outcome.EARLY, self
        return Outcome.TAKEN, replace(self, answers=(*self.answers, answer), paused=False)

    def back(self, item: int) -> Filling:
        """Without the last answer, if `item` is the one that is asked now; else as it is."""
        if item != len(self.answers):
            return self
        return replace(self, answers=self.answers[:-1], paused=False)

    def by(self, update: int) -> int | None:
        """The item that this update answered."""
        return next((at for at, each in enumerate(self.answers) if each.update == update), None)

    def typed_in(self, message: int) -> bool:
        """Whether this message was taken as an answer."""
        return message != 0 and any(each.message == message for each in self.answers)

    def kept(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self) | {"answers": [asdict(each) for each in self.answers]}

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Self | None:
        """What `kept` gave; None for what is empty or cannot be read."""
        try:
            answers = tuple(Answer(**each) for each in kept["answers"])
            instrument, version = str(kept["instrument"]), str(kept["version"])
            return cls(instrument, version, answers, bool(kept["paused"]), int(kept["after"]))
        except (KeyError, TypeError):
            return None
