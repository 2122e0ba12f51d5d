"""Sees the model's text before the person does: a sentence at a time.

Holds back the unfinished sentence, releases what passed. Knows words only;
stopping the model is the caller's part.
"""

from __future__ import annotations

import re

from bot.safety.types import GuardTripped

SORRY = (
    "I started to write something that I should not say, so I stopped. I am a program, "
    "not a doctor or therapist. Would you like to tell me more about how you feel?"
)
RULES = {
    "human": r"\bi(?:'m| am) (?:a|an|not a program|only) ?(?:real |actual |fellow )?"
    r"(?:human|person|man|woman)\b|\bi(?:'m| am) not (?:an? )?(?:ai|bot|program|machine)\b",
    "therapist": r"\bi(?:'m| am) (?:a|an|your) (?:\w+ ){0,2}"
    r"(?:therapist|psychologist|psychiatrist|doctor|counsell?or|nurse)\b",
    "diagnosis": r"\byou (?:have|suffer from|are suffering from|clearly have) (?:\w+ ){0,3}"
    r"(?:disorder|depression|bipolar|schizophrenia|ptsd|adhd|ocd|psychosis)\b",
    "dose": r"\b\d+(?:[.,]\d+)? ?(?:mg|milligrams?|mcg|ml|pills|tablets)\b",
    "number": r"(?<![\w.])\+?\(?\d[\d\s().-]{5,}\d\b|\b(?:call|text|dial)\s+(?:\w+\s+)?\d{3,}\b",
    "encouragement": r"\b(?:you should|go ahead and|just) (?:kill|hurt|harm|cut|hang) yourself\b"
    r"|\b(?:better off dead|world (?:is|would be) better (?:off )?without you)\b",
}
_FOUND = {name: re.compile(rule, re.IGNORECASE) for name, rule in RULES.items()}
_END = re.compile(r"[.!?…]+[\"'”’)]*\s+|\n+")


class SentenceGuard:
    """Implements bot.safety.types.OutputGuard; one for each reply."""

    def __init__(self) -> None:
        self._all, self._released = "", 0

    def feed(self, text: str) -> str:
        """The whole sentences that passed; raises GuardTripped."""
        self._all += text
        end = max((m.end() for m in _END.finditer(self._all)), default=0)
        return self._release(end)

    def finish(self) -> str:
        """The last sentence; raises GuardTripped."""
        return self._release(len(self._all))

    def _release(self, end: int) -> str:
        # The text before stays in view: a rule may be met across two sentences.
        seen = re.sub(r"[’`]", "'", self._all[max(0, self._released - 80) :])
        for name, rule in _FOUND.items():
            if rule.search(seen):
                raise GuardTripped(name, SORRY)
        piece = self._all[self._released : end]
        self._released = max(self._released, end)
        return piece
