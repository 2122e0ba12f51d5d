"""The gate before the model: rules and policy, then fixed text.

Works with nothing but this package's data files; knows nothing of Telegram,
the database or the model. Never keeps message text: what it remembers of
earlier messages is their hash and the rules that they met.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from bot.safety.disguise import hidden_danger
from bot.safety.guard import SentenceGuard
from bot.safety.normalise import Sentence, normalise
from bot.safety.policy import SAME_SENTENCE, WINDOW, judge_conversation, judge_sentence
from bot.safety.replies import Replies
from bot.safety.rules import Finding, RuleBook
from bot.safety.types import Assessment, FixedReply, HistoryTurn, Level, PersonContext
from bot.safety.words import Words

_REMEMBERED = 512


class RuleGate:
    """Implements `Gate`; one serves all people. Raises ValueError for a broken rule file.

    `spoken` are the languages whose fixed texts an operator has had reviewed.
    """

    def __init__(
        self,
        timer: Callable[[], float] = time.perf_counter,
        spoken: frozenset[str] = frozenset({"en"}),
    ) -> None:
        self._book = RuleBook.load()
        self._words = Words(self._book.vocabulary())
        self._replies = Replies.load(spoken)
        self._timer = timer
        self._seen: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()

    @property
    def version(self) -> str:
        """Versions of the rules and of the texts."""
        return f"{self._book.version}/{self._replies.version}"

    def assess(
        self, text: str, history: tuple[HistoryTurn, ...] = (), held: Level = Level.NONE
    ) -> Assessment:
        """The finding for `text`; see `Gate.assess`."""
        began = self._timer()
        own = [turn.text for turn in history if turn.role == "user"][-WINDOW:]
        earlier = [self._findings(words) for words in own]
        verdict = judge_conversation(self._findings(text), earlier, held, safe=says_safe(text))
        return Assessment(
            level=verdict.level,
            score=verdict.score,
            rules=verdict.rules,
            refuse=verdict.refuse,
            ms=round((self._timer() - began) * 1000, 3),
            version=self.version,
        )

    def reply(self, assessment: Assessment, person: PersonContext) -> FixedReply:
        """The fixed text for level 2, 3 or a refusal."""
        return self._replies.crisis(assessment, person)

    def check_in(self, person: PersonContext) -> FixedReply:
        """The gentle line that follows a model reply at level 1."""
        return self._replies.check_in(person)

    def guard(self, person: PersonContext) -> SentenceGuard:
        """A new guard for one reply to this person."""
        return SentenceGuard(self._replies.guarded(person))

    def _findings(self, text: str) -> tuple[Finding, ...]:
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._seen.get(key)
        if known is not None:
            self._seen.move_to_end(key)
            return known
        plain = normalise(text, self._words)
        findings = self._met(plain.sentences)
        hidden = hidden_danger(text, plain.folded)
        if hidden is not None:
            findings.setdefault(hidden.id, hidden)
        self._seen[key] = tuple(findings.values())
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return tuple(findings.values())

    def _met(self, sentences: tuple[Sentence, ...]) -> dict[str, Finding]:
        """The gravest finding of each rule; nothing is graver than imminent, so it ends there."""
        findings: dict[str, Finding] = {}
        settled: set[str] = set()
        for sentence in sentences:
            for finding in judge_sentence(tuple(self._book.findings(sentence, settled))):
                if finding.level >= findings.get(finding.id, finding).level:
                    findings[finding.id] = finding
                if finding.level >= Level.IMMINENT:
                    return findings
            settled = set(findings) - SAME_SENTENCE
        return findings


def says_safe(text: str) -> bool:
    """Whether a person at level 3 says plainly, and only, that they are safe now."""
    plain = " ".join(text.casefold().replace("’", "'").split()).strip(" .!।")
    return plain in _SAFE


_SAFE = frozenset(
    {
        "i am safe", "i'm safe", "im safe", "i am safe now", "i'm safe now", "im safe now",
        "ich bin in sicherheit", "je suis en sécurité", "estoy a salvo", "estou em segurança",
        "मैं सुरक्षित हूँ", "मैं सुरक्षित हूं", "aku aman sekarang", "saya aman sekarang",
    }
)  # fmt: skip
