"""`python -m bot.safety check`: the gate as the bot uses it, for measuring.

Reads a JSON string a line on stdin (with --conversation a JSON list of turns)
and prints one JSON object a line. Never writes message text.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

from bot.safety.gate import SafetyGate
from bot.safety.types import Assessment, HistoryTurn, Level


def main() -> int:
    """Run the command; exit status 2 for a line that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m bot.safety", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="assess messages read from stdin")
    check.add_argument("--conversation", action="store_true", help="each line is a list of turns")
    options = parser.parse_args()
    gate = SafetyGate.open()
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            result = _conversation(gate, value) if options.conversation else _message(gate, value)
        except (ValueError, TypeError, KeyError):
            what = "a JSON list of turns" if options.conversation else "a JSON string"
            print(f"Line {number} is not {what}; write one a line.", file=sys.stderr)
            return 2
        print(json.dumps(result), flush=True)
    return 0


def _message(gate: SafetyGate, value: object) -> dict[str, object]:
    if not isinstance(value, str):
        raise TypeError
    return _row([gate.assess(value)])


def _conversation(gate: SafetyGate, value: object) -> dict[str, object]:
    if not isinstance(value, list):
        raise TypeError
    history: tuple[HistoryTurn, ...] = ()
    found: list[Assessment] = []
    held = Level.NONE
    for turn in map(_turn, value):
        if turn.role == "user":
            found.append(gate.assess(turn.text, history, held))
            held = found[-1].level
        history = (*history, turn)
    return _row(found)


def _turn(value: object) -> HistoryTurn:
    if isinstance(value, str):
        return HistoryTurn("user", value)
    if not isinstance(value, dict):
        raise TypeError
    text = value.get("text", value.get("content"))
    if not isinstance(text, str):
        raise TypeError
    role = value.get("role", "user")
    return HistoryTurn("assistant" if role in ("assistant", "system", "bot") else "user", text)


def _row(found: Iterable[Assessment]) -> dict[str, object]:
    """The gravest turn; `first_turn` is the first (from 1) kept from the model."""
    turns = list(found)
    flagged = [i for i, a in enumerate(turns, 1) if not a.model_may_answer]
    return {
        "crisis": bool(flagged),
        "level": int(max((a.level for a in turns), default=Level.NONE)),
        "score": max((a.score for a in turns), default=0.0),
        "rules": list(dict.fromkeys(rule for a in turns for rule in a.rules)),
        "refuse": next((a.refuse for a in turns if a.refuse), None),
        "first_turn": flagged[0] if flagged else None,
        "ms": max((a.ms for a in turns), default=0.0),
    }


if __name__ == "__main__":
    sys.exit(main())
