"""Reads the model's text before the person does and stops what must not be shown.

Holds back the unfinished sentence, so a phrase that is split across pieces is
whole when it is checked. Knows nothing of the conversation.
"""

from __future__ import annotations

import re

from bot.safety.guard_rules import broken_rule
from bot.safety.types import GuardTripped

_END = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+(?=[^\s\d])|\n+(?=\S)|[。！？।]+")
SORRY = (
    "I started to write something that I should not say, so I stopped. I am a program, "
    "not a doctor or therapist. Would you like to tell me more about how you feel?"
)
_CONTEXT = 240
_TOO_LONG = 600
_TAIL = 240


class SentenceGuard:
    """Implements `OutputGuard`; one for each reply. `reply` replaces bad text."""

    def __init__(self, reply: str = SORRY) -> None:
        self._reply = reply
        self._held = ""
        self._shown = ""
        self._tripped: GuardTripped | None = None

    def feed(self, text: str) -> str:
        """Whole sentences that passed; raises GuardTripped, and goes on raising it."""
        self._stop_if_tripped()
        self._held += text
        end, seen = self._safe_end()
        if end:
            self._check(self._held[:seen])
        return self._release(end)

    def finish(self) -> str:
        """The rest; raises GuardTripped."""
        self._stop_if_tripped()
        self._check(self._held)
        return self._release(len(self._held))

    def _safe_end(self) -> tuple[int, int]:
        """Where the text that may be shown ends, and how far it must be checked.

        A sentence is judged only when it is whole: half of "cut yourself off"
        means something else.
        """
        end = max((match.end() for match in _END.finditer(self._held)), default=0)
        if end or len(self._held) <= _TOO_LONG:
            return end, end
        return self._held.rfind(" ", 0, len(self._held) - _TAIL) + 1, len(self._held)

    def _check(self, text: str) -> None:
        rule = broken_rule(self._shown + text)
        if rule is not None:
            self._held = ""
            self._tripped = GuardTripped(rule, self._reply)
            raise self._tripped

    def _release(self, end: int) -> str:
        passed, self._held = self._held[:end], self._held[end:]
        self._shown = (self._shown + passed)[-_CONTEXT:]
        return passed

    def _stop_if_tripped(self) -> None:
        if self._tripped is not None:
            raise GuardTripped(self._tripped.rule, self._reply)
