"""Reads the rule files and finds which rules a sentence meets.

A rule is a list of plain phrases with a level. `<3>` in a phrase stands for up
to three words; `{NAME}` for a list of words from the same file. What several
findings mean together is decided in policy.py, not here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from bot.safety.files import data_page, rule_files
from bot.safety.normalise import Sentence
from bot.safety.phrases import anchor_words, compiled

PAST = ".past"  # ends the id of a rule that is met by something long over
_LITERAL = re.compile(r"[^\W\d_]{2,}", re.UNICODE)
_NEGATION = re.compile(
    r" (?:not|never|no longer|without|stopped|hardly|neither|nor|quit|nicht|nie|niemals|kein|keine|"
    r"pas|jamais|nunca|jamas|no|nao|nahin|nahi|tidak|gak|nggak|ga|ngga|bukan)"
    r"(?! (?:know|knew|sure|stop|joking|kidding|lying|help|tell|care|only|just|afraid|scared|bear|"
    r"stand|take|handle|cope|deal|see|wait|sleep|lie|joke|okay|ok|fine|well|yet|going to lie|"
    r"one|matter|point|reason|longer want to live|idea))"
    r"((?: [^ ]+){0,4}) $"
)
# A new subject ends the reach of "not", but for "I do not think I want to ...".
_NEW_SUBJECT = re.compile(r" (?:i|ich|je|yo|eu|aku|saya|main)(?= |$)")
_REPORTED = re.compile(
    r" (?:think|believe|feel|feel like|mean|say|saying|claim|glaube|creo|acho)(?: that)? i"
)
_REPORTING = re.compile(
    r" (?:think|thinks|believe|feel|mean|say|saying|said|claim|that|if|dass|das|wenn|ob|que|quil|"
    r"si|se|ki|agar|bahwa|kalau|glaube|creo|acho|pense|crois)(?= |$)"
)
_TURN = re.compile(
    r" (?:but|because|so|although|however|why|if|unless|and now|then|aber|weil|mais|parce|pero|"
    r"porque|mas|tapi|karena|lekin) "
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Phrases that mean the same. `category` is the id's first part."""

    id: str
    level: int
    found: re.Pattern[str]
    words: frozenset[str]
    unless: re.Pattern[str] | None
    negatable: bool
    past: int | None
    refuse: str | None
    soft: bool

    @property
    def category(self) -> str:
        """What kind of danger, or `marker`."""
        return self.id.split(".")[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule met, or what the classifier found; `level` is after negation and tense.

    `score` is a probability from the classifier, None from a rule. `soft`: words of a subject,
    which people in danger and others use; a classifier that hears no danger outweighs them.
    """

    id: str
    level: int
    refuse: str | None = None
    score: float | None = None
    soft: bool = False

    @property
    def category(self) -> str:
        """What kind of danger, or `marker`."""
        return self.id.split(".")[0]


class RuleBook:
    """All rules, in the order of the files."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        past: re.Pattern[str],
        present: re.Pattern[str],
        version: str,
    ) -> None:
        self.rules = rules
        self.version = version
        self._past = past
        self._present = present

    @classmethod
    @cache
    def load(cls) -> RuleBook:
        """Read every file under data/rules; raises ValueError naming a bad rule."""
        pages = {name: data_page(name) for name in rule_files()}
        excuses = _excuses(pages.values())
        rules: list[Rule] = []
        past: list[str] = []
        present: list[str] = []
        versions: list[str] = []
        for name, page in pages.items():
            macros = {k: "(?:" + "|".join(v) + ")" for k, v in page.get("macros", {}).items()}
            rules.extend(_rule(entry, macros, excuses) for entry in page["rules"])
            past.extend(page.get("past", ()))
            present.extend(page.get("present", ()))
            versions.append(f"{name.removeprefix('rules/').removesuffix('.yaml')}{page['version']}")
        return cls(tuple(rules), compiled(past, {}), compiled(present, {}), "+".join(versions))

    def vocabulary(self) -> frozenset[str]:
        """Every word that stands in a phrase."""
        return frozenset(
            word for rule in self.rules for word in _LITERAL.findall(rule.found.pattern)
        )

    def findings(
        self, sentence: Sentence, known: Collection[str] = frozenset()
    ) -> Iterator[Finding]:
        """All rules that the sentence meets, less the ids in `known`."""
        past = bool(self._past.search(sentence.text)) and not self._present.search(sentence.text)
        for rule in self.rules:
            if rule.id in known or (rule.words and not rule.words & sentence.words):
                continue
            finding = _best(rule, sentence, past)
            if finding is not None:
                yield finding


def _best(rule: Rule, sentence: Sentence, past: bool) -> Finding | None:
    """The gravest way in which the sentence meets the rule."""
    negated = None
    for match in rule.found.finditer(sentence.text):
        if rule.unless is not None and rule.unless.search(sentence.text):
            return None
        if rule.negatable and _is_negated(sentence, match.start()):
            negated = Finding(rule.id + ".denied", min(rule.level, 1) if rule.level else 0)
            continue
        if past and rule.past is not None:
            return Finding(rule.id + PAST, rule.past)
        return Finding(rule.id, rule.level, rule.refuse, soft=rule.soft)
    return negated


def _is_negated(sentence: Sentence, start: int) -> bool:
    """Whether "not" and its kin reach the phrase that begins at `start`."""
    clause = max((b for b in sentence.breaks if b <= start), default=0)
    before = sentence.text[max(clause - 1, 0, start - 80) : start + 1]
    turns = list(_TURN.finditer(before))
    if turns and turns[-1][0] in (" why ", " if ", " unless "):
        return False
    if turns:
        before = before[turns[-1].end() - 1 :]
    found = _NEGATION.search(before)
    if found is None:
        return False
    if _NEW_SUBJECT.match(sentence.text, start) and not _REPORTING.search(found[1]):
        return False  # "keine Kraft mehr ich will sterben": what follows begins anew
    return not _NEW_SUBJECT.search(found[1]) or bool(_REPORTED.match(found[1]))


def _excuses(pages: Iterable[dict[str, dict[str, list[str]]]]) -> dict[str, list[str]]:
    """Exceptions that a file claims for a rule in every language, by the rule's id.

    Without accents "suicidé" and "suicide" are one word, which the English rule
    hears too; only the French file knows what excuses it.
    """
    found: dict[str, list[str]] = {}
    for page in pages:
        for rule, phrases in page.get("excuses", {}).items():
            found.setdefault(rule, []).extend(_strings(phrases))
    return found


def _rule(entry: dict[str, object], macros: dict[str, str], excuses: dict[str, list[str]]) -> Rule:
    try:
        unless = [*_strings(entry.get("unless", ())), *excuses.get(str(entry["id"]), ())]
        past = entry.get("past")
        return Rule(
            id=str(entry["id"]),
            level=int(str(entry.get("level", 0))),
            found=compiled(_strings(entry["phrases"]), macros),
            words=anchor_words(_strings(entry["phrases"]), macros),
            unless=compiled(unless, macros) if unless else None,
            negatable=bool(entry.get("negatable", False)),
            past=None if past is None else int(str(past)),
            refuse=None if entry.get("refuse") is None else str(entry["refuse"]),
            soft=bool(entry.get("soft", False)),
        )
    except (KeyError, TypeError, re.error) as error:
        raise ValueError(f"The safety rule {entry.get('id')!r} cannot be read: {error}") from error


def _strings(value: object) -> list[str]:
    if not isinstance(value, list | tuple):
        raise TypeError("a list of phrases is needed")
    return [str(item) for item in value]
