"""The gate before the model: rules and classifier, policy, then fixed text.

Either half of the detector works without the other; `health()` says when one
is off. Knows nothing of Telegram, the database or the model. Never keeps
message text.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from bot.safety.affirming import affirms
from bot.safety.age import says_minor
from bot.safety.disguise import hidden_danger
from bot.safety.guard import SentenceGuard
from bot.safety.meaning import Judge, Meaning, shipped_judge
from bot.safety.normalise import Sentence, normalise
from bot.safety.policy import (
    AFFIRMS,
    DOUBTS,
    NEAREST,
    SAME_SENTENCE,
    WINDOW,
    Verdict,
    judge_answer,
    judge_conversation,
    judge_sentence,
    weighed,
)
from bot.safety.replies import MINOR, Replies
from bot.safety.rules import Finding, RuleBook
from bot.safety.safe_words import says_safe
from bot.safety.scores import ClassifierMissing
from bot.safety.seen import Seen
from bot.safety.types import (
    Assessment,
    FixedReply,
    Health,
    HistoryTurn,
    Level,
    PersonContext,
)
from bot.safety.words import Words

_MINOR = Finding("age.minor", 0, MINOR)
_UNCHECKED = (
    " Crisis lines of {} are not shown because nobody checked them for a year: "
    "run `make check-lines` and correct crisis_lines.csv."
)
log = logging.getLogger(__name__)


class SafetyGate:
    """Implements `Gate`; one serves all people. Raises ValueError for a broken rule file.

    `meaning` is the classifier's half; without it the rules work alone.
    `unspoken` are languages whose fixed texts an operator does not want sent.
    """

    def __init__(
        self,
        meaning: Meaning | None = None,
        timer: Callable[[], float] = time.perf_counter,
        unspoken: frozenset[str] = frozenset(),
    ) -> None:
        self._book = RuleBook.load()
        self._words = Words(self._book.vocabulary())
        self._replies = Replies.load(unspoken)
        self._timer, self._meaning = timer, meaning
        self._why_alone = "The crisis classifier was not asked for; the rules work alone."
        self._rules_seen, self._heard_seen, self._alone_seen = Seen(), Seen(), Seen()
        self._kept = Seen()  # what each message still says, for the ones after it

    @classmethod
    def open(
        cls,
        unspoken: frozenset[str] = frozenset(),
        load: Callable[[Words], Judge] = shipped_judge,
    ) -> SafetyGate:
        """The gate as the bot uses it: with the classifier wherever that can be loaded."""
        gate = cls(unspoken=unspoken)
        try:
            gate._meaning = Meaning(load(gate._words))
        except ClassifierMissing as missing:
            log.warning("%s", missing)
            gate._why_alone = str(missing)
        return gate

    def complete(self) -> None:
        """Load what was left for later; takes seconds, so it is for a thread."""
        if self._meaning is not None:
            self._meaning.complete()

    @property
    def version(self) -> str:
        """Versions of the rules, the classifier and the texts."""
        classifier = self._meaning.version if self._meaning else "rules-alone"
        return f"{self._book.version}/{classifier}/{self._replies.version}"

    @property
    def languages(self) -> frozenset[str]:
        """Languages that have fixed texts."""
        return frozenset(self._replies.languages)

    def health(self) -> Health:
        """Whether both halves of the detector work, for the operator; and lines to check again."""
        found = Health(ok=False, sentence=self._why_alone)
        if self._meaning is not None:
            found = self._meaning.health()
        old = self._replies.withheld()
        return Health(found.ok, found.sentence + _UNCHECKED.format(", ".join(old)) * bool(old))

    def assess(
        self, text: str, history: tuple[HistoryTurn, ...] = (), held: Level = Level.NONE
    ) -> Assessment:
        """The finding for `text`; see `Gate.assess`."""
        began = self._timer()
        said = [turn.text for turn in history if turn.role == "user"]
        earlier = [self._earlier(said[: at + 1]) for at in range(len(said))[-WINDOW:]]
        before = said[-NEAREST:]
        heard = self._newest(text, before)
        calm = held > Level.NONE and any(f.id == DOUBTS for f in self._alone(text))
        # After danger every word sounds of it: what is calm by itself is remembered as that.
        self._kept.once(lambda: self._alone(text) if calm else heard, text, *before)
        now = weighed(self._by_rules(text), heard)
        verdict = judge_conversation(now, earlier, held, safe=says_safe(text), calm=calm)
        return self._assessment(verdict, began)

    def answered(self, held: Level = Level.NONE) -> Assessment:
        """The finding for an answer that is danger without words; see `Gate.answered`."""
        return self._assessment(judge_answer(held), self._timer())

    def reply(self, assessment: Assessment, person: PersonContext) -> FixedReply:
        """The fixed text for level 2, 3 or a refusal."""
        return self._replies.crisis(assessment, person)

    def check_in(self, person: PersonContext) -> FixedReply:
        """The gentle line that follows a model reply at level 1."""
        return self._replies.check_in(person)

    def follow_up(self, person: PersonContext) -> FixedReply:
        """The question that is asked some time after a crisis reply."""
        return self._replies.follow_up(person)

    def guard(self, person: PersonContext) -> SentenceGuard:
        """A new guard for one reply to this person."""
        return SentenceGuard(self._replies.guarded(person))

    def _assessment(self, verdict: Verdict, began: float) -> Assessment:
        return Assessment(
            level=verdict.level,
            score=verdict.score,
            rules=verdict.rules,
            refuse=verdict.refuse,
            ms=round((self._timer() - began) * 1000, 3),
            version=self.version,
        )

    def _earlier(self, said: Sequence[str]) -> tuple[Finding, ...]:
        """What the last of these was found to say; after a start, what it says by itself."""
        *before, text = said
        heard = self._kept.of(text, *before[-NEAREST:])
        return weighed(self._by_rules(text), self._alone(text) if heard is None else heard)

    def _newest(self, text: str, before: Sequence[str]) -> tuple[Finding, ...]:
        meaning = self._meaning
        if meaning is None:
            return ()
        return self._heard_seen.once(lambda: meaning.newest(text, before), text, *before)

    def _alone(self, text: str) -> tuple[Finding, ...]:
        meaning = self._meaning
        return self._alone_seen.once(lambda: meaning.alone(text), text) if meaning else ()

    def _by_rules(self, text: str) -> tuple[Finding, ...]:
        return self._rules_seen.once(lambda: self._ruled(text), text)

    def _ruled(self, text: str) -> tuple[Finding, ...]:
        plain = normalise(text, self._words)
        findings = self._met(plain.sentences)
        hidden = hidden_danger(text, plain.folded)
        if hidden is not None:
            findings.setdefault(hidden.id, hidden)
        if says_minor(text):
            findings.setdefault(_MINOR.id, _MINOR)
        if affirms(text):
            findings.setdefault(AFFIRMS, Finding(AFFIRMS, 0))
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
