"""The gate over one message or one conversation, as plain JSON values.

`python -m bot.safety check` and the safety report both measure through this,
so that they measure what people meet. Never returns message text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot.safety.gate import SafetyGate
from bot.safety.types import Assessment, HistoryTurn, Level


class NotReadable(ValueError):
    """A value is neither a message nor a conversation."""


def message(gate: SafetyGate, value: object) -> dict[str, object]:
    """One JSON string."""
    if not isinstance(value, str):
        raise NotReadable("a JSON string")
    return row([gate.assess(value)])


def conversation(gate: SafetyGate, value: object) -> dict[str, object]:
    """A JSON list of turns: strings, or objects with `role` and `text` (or `content`)."""
    if not isinstance(value, list):
        raise NotReadable("a JSON list of turns")
    return row(judged(gate, [_turn(turn) for turn in value]))


def judged(gate: SafetyGate, turns: Sequence[HistoryTurn]) -> list[Assessment]:
    """The person's turns, one after the other, each with what came before it."""
    found: list[Assessment] = []
    held = Level.NONE
    for at, turn in enumerate(turns):
        if turn.role == "user":
            found.append(gate.assess(turn.text, tuple(turns[:at]), held))
            held = found[-1].level
    return found


def row(found: Iterable[Assessment]) -> dict[str, object]:
    """The gravest turn; `first_turn` is the first (from 1) that is one."""
    turns = list(found)
    stopped = [i for i, a in enumerate(turns, 1) if a.crisis]
    return {
        "crisis": bool(stopped),
        "level": int(max((a.level for a in turns), default=Level.NONE)),
        "score": max((a.score for a in turns), default=0.0),
        "rules": list(dict.fromkeys(rule for a in turns for rule in a.rules)),
        "refuse": next((a.refuse for a in turns if a.refuse), None),
        "first_turn": stopped[0] if stopped else None,
        "ms": max((a.ms for a in turns), default=0.0),
    }


def _turn(value: object) -> HistoryTurn:
    if isinstance(value, str):
        return HistoryTurn("user", value)
    text = value.get("text", value.get("content")) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(text, str):
        raise NotReadable("a list of strings, or of objects with role and text")
    role = value.get("role", "user")
    return HistoryTurn("assistant" if role in _OTHERS else "user", text)


_OTHERS = ("assistant", "system", "bot", "model", "chatbot", "provider")
