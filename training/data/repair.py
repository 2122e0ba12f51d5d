"""Takes out of a dialogue the sentences that must not be learnt, or gives up on it.

Knows lint rules and sentences; knows no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from model.types import Turn
from training.data.dialogue import Dialogue
from training.data.formats import tidy
from training.data.lint import RULES, Rule, hits

# A reply that loses more than this share of its words no longer says what it said.
KEPT = 0.6
FEWEST_WORDS = 12
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|\n+")


class Unfit(ValueError):
    """The dialogue cannot be repaired; `rule` says which rule it met."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


def repaired(dialogue: Dialogue) -> tuple[Dialogue, list[str]]:
    """The dialogue without bad sentences, and the rules that took some; raises Unfit."""
    found = [hit.rule for turn in dialogue.turns for hit in hits(turn.text, turn.role)]
    for rule in sorted(found, key=RULES.index):
        if rule.action == "drop":
            raise Unfit(rule.id, rule.says)
    turns, met = [], []
    for turn in dialogue.turns:
        text, rules = _text(turn)
        met += [rule.id for rule in rules]
        turns.append(Turn(turn.role, text))
    return Dialogue(dialogue.id, dialogue.source, tuple(turns), dialogue.group), met


def _text(turn: Turn) -> tuple[str, list[Rule]]:
    rules = [hit.rule for hit in hits(turn.text, turn.role)]
    if not rules:
        return turn.text, []
    text = _without(turn.text, rules)
    if _lost_too_much(turn, text):
        raise Unfit(rules[0].id, rules[0].says)
    return text, rules


def _without(text: str, rules: Iterable[Rule]) -> str:
    """The text without sentences that meet a rule; what lies between stays as it was."""
    kept, at = [], 0
    for piece in [*_SENTENCE.finditer(text), None]:
        end = piece.start() if piece else len(text)
        # What closes a quotation belongs to the sentence; white space follows it.
        sentence = text[at:end]
        if not any(rule.pattern.search(sentence) for rule in rules):
            kept.append(text[at : piece.end() if piece else len(text)])
        at = piece.end() if piece else len(text)
    return tidy("".join(kept))


def _lost_too_much(turn: Turn, text: str) -> bool:
    before, after = len(turn.text.split()), len(text.split())
    if not after or hits(text, turn.role):
        return True
    short = turn.role == "assistant" and after < min(FEWEST_WORDS, before)
    return short or after < KEPT * before
