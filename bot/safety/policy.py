"""What findings mean together, over one message and over the conversation.

Pure functions on findings and levels. Knows nothing of words or texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.safety.rules import PAST, Finding
from bot.safety.types import Level

WINDOW = 8  # earlier messages of the person that still count
NEAREST = 3  # of them that are read together with the newest
LEANS = "marker.leans"  # the classifier is not sure, but a sign that a rule found is enough
DOUBTS = "marker.doubts"  # the classifier is sure that there is no danger
DENIES = "marker.denies"  # and so sure that it outweighs plain words: in other languages alone
AFFIRMS = "marker.affirms"  # a bare yes
_BY_CLASSIFIER = ("classifier", "context")
BY_QUESTIONNAIRE = "suicide.questionnaire"
_OWN_INTENT = frozenset({"suicide.self", "suicide.die", "suicide.word"})
SAME_SENTENCE = _OWN_INTENT | {"marker.time"}  # together they mean more than apart
_SIGNS = 2  # earlier messages with a sign that make one more a high risk
_DECAY = 3  # quiet messages until a concern is let go
_SCORES = {0: 0.02, 1: 0.4, 2: 0.85, 3: 0.97}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The level, the rules that led to it, and whether a fixed refusal is due."""

    level: Level
    rules: tuple[str, ...]
    refuse: str | None = None
    meant: float = 0.0  # the classifier's probability of level 2 or more

    @property
    def score(self) -> float:
        """0 to 1; for ranking and records. At least .85 where the model is not called."""
        stopped = self.level >= Level.HIGH or self.refuse in ("method", "eating")
        base = max(_SCORES[int(self.level)], _SCORES[2] if stopped else 0.0)
        seen = self.meant if stopped else min(self.meant, 0.8)
        return round(min(0.99, max(base + 0.01 * min(3, len(self.rules)), seen)), 3)


def judge_sentence(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """One sentence: a time beside an own intent makes it imminent."""
    own = any(f.id in _OWN_INTENT for f in findings)
    if own and any(f.id == "marker.time" for f in findings):
        return (*findings, Finding("suicide.soon", 3))
    return tuple(findings)


def weighed(by_rule: Sequence[Finding], meant: Sequence[Finding]) -> tuple[Finding, ...]:
    """What both halves found in one message: a rule that is outweighed is no more than a concern,
    and a concern is none.

    Without the classifier nothing is outweighed, and an act under way never is.
    """
    said = {f.id for f in meant}
    return (*(_lessened(f) if _is_outweighed(f, said) else f for f in by_rule), *meant)


def _is_outweighed(rule: Finding, said: set[str]) -> bool:
    doubted = rule.soft and DOUBTS in said
    return doubted or (DENIES in said and Level.NONE < rule.level < Level.IMMINENT)


def _lessened(rule: Finding) -> Finding:
    return replace(rule, level=rule.level // 2, refuse=None)


def judge_message(findings: Sequence[Finding]) -> Verdict:
    """One message alone."""
    ids = {f.id for f in findings}
    level = max((f.level for f in findings), default=0)
    reasons = [f.id for f in findings if f.level > 0 or f.refuse]
    if ids & _OWN_INTENT and ids & {"marker.means", "marker.farewell"}:
        level = 3
        reasons.append("policy.intent_with_plan")
    passive = "suicide.passive" in ids
    if passive and ids & {"marker.farewell", "marker.heights"}:
        level = max(level, 2)
        reasons.append("policy.passive_with_means_or_farewell")
    if {"marker.heights", "marker.distress"} <= ids:
        level = max(level, 2)
        reasons.append("policy.means_after_distress")
    if LEANS in ids and any(_is_a_sign(f) for f in findings):
        level = max(level, 2)
        reasons.append("policy.rule_and_classifier")
    refuse = next((f.refuse for f in sorted(findings, key=lambda f: -f.level) if f.refuse), None)
    meant = max((f.score for f in findings if f.score is not None), default=0.0)
    return Verdict(Level(level), tuple(dict.fromkeys(reasons)), refuse, meant)


def _is_a_sign(finding: Finding) -> bool:
    """What the classifier leans on. What is long over is no sign of now: it speaks of the same."""
    by_rule = finding.category not in _BY_CLASSIFIER
    return finding.level == 1 and by_rule and not finding.id.endswith(PAST)


def judge_conversation(
    now: Sequence[Finding],
    earlier: Sequence[Sequence[Finding]],
    held: Level,
    *,
    safe: bool = False,
    calm: bool = False,
) -> Verdict:
    """The newest message in the light of the person's earlier ones, newest last.

    `safe`: the message says, and only says, that the person is safe now. `calm`: read by itself
    it is surely no danger.
    """
    if safe:  # plain words outweigh what the classifier makes of them after what came before
        now = [f for f in now if f.category not in _BY_CLASSIFIER]
    if _answered(held, earlier[-_DECAY:]) and calm and not any(f.id == AFFIRMS for f in now):
        # After danger every word sounds of it, and a bare "yes" is it.
        now = [replace(f, level=min(f.level, 1)) if f.category == "context" else f for f in now]
    verdict = judge_message(now)
    level, rules = int(verdict.level), list(verdict.rules)
    risen, why = _risen(level, {f.id for f in now}, earlier[-WINDOW:], held)
    level, held_why = _held(risen, held, earlier[-_DECAY:], safe=safe)
    reasons = tuple(dict.fromkeys([*rules, *why, *held_why]))
    return Verdict(Level(level), reasons, verdict.refuse, verdict.meant)


def judge_answer(held: Level) -> Verdict:
    """A questionnaire's own question about death or self-harm was not answered "not at all".

    No words were said, so nothing else is judged; what was held graver stays so.
    """
    if held is Level.IMMINENT:
        return Verdict(held, (BY_QUESTIONNAIRE, "policy.locked"))
    return Verdict(Level.HIGH, (BY_QUESTIONNAIRE,))


def _answered(held: Level, lately: Sequence[Sequence[Finding]]) -> bool:
    """Whether there was danger just before, which had its fixed text then."""
    grave = any(f.level >= Level.HIGH for turn in lately for f in turn)
    return held is Level.HIGH or (held is Level.CONCERN and grave)


def _risen(
    level: int, ids: set[str], earlier: Sequence[Sequence[Finding]], held: Level
) -> tuple[int, list[str]]:
    """What earlier messages add to this one."""
    why = []
    before = [f for turn in earlier for f in turn]
    troubled = held > 0 or any(f.level or f.id == "marker.distress" for f in before)
    if "marker.heights" in ids and troubled and level < Level.HIGH:
        level = 2
        why.append("policy.means_after_distress")
    if level == 1 and sum(any(f.level for f in turn) for turn in earlier) >= _SIGNS:
        level = 2
        why.append("policy.signs_add_up")
    at_risk = any(f.level >= 2 and f.category == "suicide" for f in before)
    if at_risk and ids & {"marker.farewell", "marker.means"}:
        level = 3
        why.append("policy.intent_with_plan")
    return level, why


def _held(
    level: int, held: Level, lately: Sequence[Sequence[Finding]], *, safe: bool
) -> tuple[int, list[str]]:
    """The level never falls by more than one step a message.

    Imminent is locked: only a person's own plain words that they are safe now
    (or an operator, outside this module) open it.
    """
    if held is Level.IMMINENT and level < Level.IMMINENT:
        return (1, ["policy.says_safe"]) if safe else (3, ["policy.locked"])
    recent = any(f.level for turn in lately for f in turn)
    if level == 0 and (held is Level.HIGH or (held is Level.CONCERN and recent)):
        return 1, ["policy.decay"]
    return level, []
