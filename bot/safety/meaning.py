"""The classifier's half of the gate: scores become findings; a failure becomes none.

Whatever goes wrong in the classifier, the rules go on and the operator can
see it in `health()`. Knows nothing of rules or policy; keeps no text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from bot.safety.policy import DENIES, DOUBTS, LEANS
from bot.safety.rules import Finding
from bot.safety.scores import ClassifierMissing, Manifest, Scores, place
from bot.safety.types import Health, Level
from bot.safety.words import Words

_REFUSALS = {"method": "method"}  # requests that a fixed refusal answers
_FORGIVEN = 50  # good answers after which an old failure is no longer told
log = logging.getLogger(__name__)


class Judge(Protocol):
    """What is asked of a classifier."""

    @property
    def manifest(self) -> Manifest:
        """Its limits, and its version."""

    @property
    def quick(self) -> Judge:
        """Itself, or the part of it that takes a few milliseconds."""

    def judge(self, text: str, earlier: Sequence[str] = ()) -> Scores:
        """Raises nothing that is expected."""


@runtime_checkable
class Growing(Protocol):
    """A judge of which a part may come later, or not at all."""

    @property
    def trouble(self) -> str:
        """Why a part is missing; empty where none is."""

    def complete(self) -> None:
        """Load that part."""


def shipped_judge(words: Words, *, at_once: bool = True) -> Judge:
    """The classifier that comes with Lanner; raises ClassifierMissing.

    Without `at_once` its second reader is not there until `Meaning.complete`.
    """
    try:
        from bot.safety.big import second_reader
        from bot.safety.classifier import Classifier
        from bot.safety.readers import TwoReaders
    except (ImportError, OSError) as error:  # torch's own libraries may be what is missing
        raise ClassifierMissing(
            f"PyTorch cannot be loaded ({type(error).__name__}), so the crisis classifier is off "
            "and the rules work alone. Run `make` again."
        ) from error
    first = Classifier.load(words)
    both = TwoReaders(first, lambda: second_reader(first.reader))
    if at_once:
        both.complete()
    return both


class Meaning:
    """Thresholds come from the manifest; training chose them on development data."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._trouble = ""
        self._since = 0

    @property
    def version(self) -> str:
        """The classifier's version, recorded with each decision."""
        return self._judge.manifest.version

    def complete(self) -> None:
        """Load what takes long, where it is not there yet. For a thread."""
        if isinstance(self._judge, Growing):
            self._judge.complete()

    def health(self) -> Health:
        """Not well while a failure is recent."""
        if self._trouble:
            return Health(ok=False, sentence=self._trouble)
        without = self._judge.trouble if isinstance(self._judge, Growing) else ""
        works = f"Rules and classifier {self.version} work."
        return Health(ok=True, sentence=f"{works} {without}".strip())

    def newest(self, text: str, earlier: Sequence[str]) -> tuple[Finding, ...]:
        """What a message means after what the person wrote before it, if anything."""
        return self._safely(self._judge, text, earlier)

    def alone(self, text: str) -> tuple[Finding, ...]:
        """What one means by itself, quickly: for messages that were the newest once."""
        return self._safely(self._judge.quick, text, ())

    def _safely(self, judge: Judge, text: str, earlier: Sequence[str]) -> tuple[Finding, ...]:
        try:
            scores = judge.judge(text, earlier)
            found = _found(scores, judge.manifest.thresholds, in_context=bool(earlier))
        except Exception as error:
            self._note(
                f"The crisis classifier failed ({type(error).__name__}); rules alone judged."
            )
            return ()
        if scores.partly:
            self._note("The crisis classifier was too slow for a long message; rules read it all.")
        else:
            self._since += 1
            if self._since >= _FORGIVEN:
                self._trouble = ""
        return found

    def _note(self, sentence: str) -> None:
        if sentence != self._trouble:
            log.error("%s", sentence)
        self._trouble, self._since = sentence, 0


def _found(scores: Scores, known: Mapping[str, float], *, in_context: bool) -> tuple[Finding, ...]:
    limits = place(foreign=scores.foreign, in_context=in_context)
    source = "context" if in_context else "classifier"
    level = _level(scores, limits, known)
    refuse = _REFUSALS.get(scores.category) if level >= Level.HIGH else None
    name = f"{source}.{scores.category}"
    found = Finding(name, int(level), refuse, score=round(scores.high, 3))
    markers = (
        (LEANS, scores.high >= known.get(f"{limits}.lean", 1.0)),
        (DOUBTS, scores.high < known.get(f"{limits}.doubt", 0.0)),
        (DENIES, scores.high < known.get(f"{limits}.deny", 0.0)),
    )
    return found, *(Finding(marker, 0) for marker, met in markers if met)


def _level(scores: Scores, limits: str, known: Mapping[str, float]) -> Level:
    if scores.high >= known[f"{limits}.high"]:
        grave = scores.imminent >= known[f"{limits}.imminent"]
        return Level.IMMINENT if grave and scores.category != "method" else Level.HIGH
    return Level.CONCERN if scores.concern >= known[f"{limits}.concern"] else Level.NONE
