"""`python -m bot.safety check`: the gate as the bot uses it, for measuring.

Reads a JSON string a line on stdin (with --conversation a JSON list of turns)
and prints one JSON object a line; a line that cannot be read is answered with
{"error": ...} and the next is read. `lines` checks the crisis lines' dates, and `prepare` fetches
what the second reader needs.
Never writes message text.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from bot.safety import check
from bot.safety.gate import SafetyGate
from bot.safety.lines import TRUSTED_MONTHS, CrisisLines
from bot.safety.scores import ClassifierMissing


def main(words: list[str] | None = None) -> int:
    """Exit status 2 when a line could not be read, 1 for lines that are too old, else 0."""
    parser = argparse.ArgumentParser(prog="python -m bot.safety", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    judge = commands.add_parser("check", help="assess messages read from stdin")
    judge.add_argument("--conversation", action="store_true", help="each line is a list of turns")
    commands.add_parser("lines", help="fail for crisis lines that are too old to be shown")
    commands.add_parser("prepare", help="fetch the second reader's encoder, about 400 MB")
    options = parser.parse_args(words)
    if options.command == "prepare":
        return _prepare()
    return _lines() if options.command == "lines" else _check(options.conversation)


def _prepare() -> int:
    try:
        from bot.safety.big import prepare

        print(prepare())
    except (ImportError, ClassifierMissing) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check(conversation: bool) -> int:
    gate = SafetyGate.open()
    health = gate.health()
    if not health.ok:
        print(health.sentence, file=sys.stderr)
    judge = check.conversation if conversation else check.message
    wrong = False
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        answer = _answer(gate, judge, line, number)
        wrong |= "error" in answer
        print(json.dumps(answer), flush=True)
    return 2 if wrong else 0


def _answer(gate: SafetyGate, judge: Any, line: bytes, number: int) -> dict[str, object]:
    try:
        answer: dict[str, object] = judge(gate, json.loads(line.decode("utf-8")))
    except check.NotReadable as error:
        return {"error": f"Line {number} is not {error}."}
    except (ValueError, RecursionError):
        return {"error": f"Line {number} is not JSON in UTF-8."}
    return answer


def _lines() -> int:
    old = CrisisLines.load().stale(datetime.now(UTC).date(), TRUSTED_MONTHS)
    for line in old:
        where = f"{line.country}: {line.name}"
        print(f"{where} was last checked in {line.checked} and is not shown: check it again.")
    if old:
        return 1
    print(f"Every crisis line that may be shown was checked in the last {TRUSTED_MONTHS} months.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
