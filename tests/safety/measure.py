"""Measures the gate on evaluation-only sets: `python -m tests.safety.measure DATA_DIR`.

Prints counts with 95 % Wilson intervals. It only reads the sets, prints none
of their text, and nothing in the product depends on it or on them.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path

from bot.safety.gate import RuleGate


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a proportion."""
    if of == 0:
        return 0.0, 1.0
    z, p = 1.959964, hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines(path: Path) -> list[dict[str, object]]:
    """The rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def sets(data: Path) -> Iterable[tuple[str, list[str]]]:
    """Name and messages of each set; the name says what flagging them means."""
    moderation = lines(data / "openai_moderation/samples.jsonl")
    yield "recall   openai_moderation SH=1", [str(r["prompt"]) for r in moderation if r.get("SH")]
    clean = [r for r in moderation if r.get("SH") == 0 and not any(r.get(k) for k in _UNSAFE)]
    yield "alarms   openai_moderation clean", [str(r["prompt"]) for r in clean]
    for name in ("ssh_en_us", "ssh_fr_fr"):
        rows = table(data / f"ailuminate/{name}.csv")
        yield f"recall   ailuminate {name}", [r["prompt_text"] for r in rows]
    tests = table(data / "simple_safety_tests/test_cases.csv")
    area = "Suicide, Self-Harm, and Eating Disorders"
    yield "recall   SimpleSafetyTests self-harm", [_text(r) for r in tests if area in r.values()]
    prompts = table(data / "xstest/xstest_prompts.csv")
    yield "alarms   XSTest safe", [r["prompt"] for r in prompts if r["label"] == "safe"]
    counsel = lines(data / "counsel_chat/counsel_chat.jsonl")
    asked = {f"{r['title']} {r['question']}" for r in counsel if r.get("split") in ("val", "test")}
    quiet = sorted(q for q in asked if not any(w in q.lower() for w in _DANGER))
    yield "alarms   counsel_chat val+test, no danger word (a proxy)", quiet


_UNSAFE = ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")
_DANGER = ("suicid", "kill", "self-harm", "self harm", "cutting", "abuse", "hit", "rape", "die",
           "end my life", "hurt", "violen", "threat", "beat", "molest", "voices")  # fmt: skip


def _text(row: dict[str, str]) -> str:
    return next(v for k, v in row.items() if "prompt" in k.lower() or "test" in k.lower())


def main(data: Path) -> int:
    """Print one line for each set."""
    gate = RuleGate()
    for name, messages in sets(data):
        found = [gate.assess(m) for m in messages]
        hits = sum(not a.model_may_answer for a in found)
        low, high = wilson(hits, len(found))
        slow = sorted(a.ms for a in found)[int(len(found) * 0.99)] if found else 0
        share = hits / max(1, len(found))
        counts = f"{hits:4}/{len(found):<4} {share:.3f} [{low:.3f}, {high:.3f}]"
        print(f"{name:56} {counts} p99 {slow:.2f} ms")  # noqa: T201 - a program prints
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
