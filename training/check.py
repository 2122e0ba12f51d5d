"""The data, read and cleaned, with every row that is left out and why.

Knows the data's report and a tokenizer; loads no weights.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.adapter import write_file
from training.base import source_of
from training.data.dialogue import Dialogue, Dropped
from training.data.prepare import Prepared, prepare
from training.errors import TrainingError
from training.examples import Encoded, encode
from training.recipe import Recipe

Say = Callable[[str], None]
SHOWN = 12


def check(recipe: Recipe, data_dir: Path, say: Say) -> Path:
    """Say what the data is like; every dropped row goes into check.json, whose path it is."""
    prepared = prepare(recipe.data, recipe.seed)
    _sources(prepared, say)
    _dropped(prepared.report.dropped, say)
    _shape([*prepared.taught, *prepared.held_out], say)
    say(
        f"Held out are {len(prepared.held_out)} dialogues to {_questions(prepared.held_out)} "
        f"questions; taught are {len(prepared.taught)} to {_questions(prepared.taught)}. "
        "No question stands on both sides."
    )
    _lengths(recipe, prepared, data_dir, say)
    path = data_dir / "training" / recipe.name / "check.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(_whole(prepared), indent=1, ensure_ascii=False) + "\n")
    say(f"Every row that is left out is in {path}.")
    return path


def _sources(prepared: Prepared, say: Say) -> None:
    report = prepared.report
    say(f"{'source':24}{'rows':>8}{'kept':>8}{'left out':>10}")
    out = Counter(one.source for one in report.dropped)
    for name in report.read:
        say(f"{name:24}{report.read[name]:8}{report.kept[name]:8}{out[name]:10}")
    for name in report.absent:
        say(f"The source {name} has no rows yet: going on without it.")
    for rule, count in report.repaired.most_common():
        say(f"  {count} replies lost sentences to the rule {rule}")


def _dropped(dropped: Sequence[Dropped], say: Say) -> None:
    by_rule: dict[str, list[Dropped]] = defaultdict(list)
    for one in dropped:
        by_rule[one.rule].append(one)
    for rule, rows in sorted(by_rule.items(), key=lambda item: -len(item[1])):
        say(f"\n{len(rows)} left out, {rule}: {rows[0].reason}")
        for one in rows[: 0 if rule in ("limit", "duplicate") else SHOWN]:
            say(f"  {one.source} {one.id}: {' '.join(one.question.split())[:80]}")
        if len(rows) > SHOWN and rule not in ("limit", "duplicate"):
            say(f"  … and {len(rows) - SHOWN} more")
    say("")


def _shape(dialogues: Sequence[Dialogue], say: Say) -> None:
    turns = Counter(sum(t.role == "assistant" for t in d.turns) for d in dialogues)
    words = sorted(len(t.text.split()) for d in dialogues for t in d.turns if t.role == "assistant")
    many = ", ".join(f"{count} with {number}" for number, count in sorted(turns.items()))
    say(f"Replies in a dialogue: {many}.")
    middle, most = words[len(words) // 2], words[int(len(words) * 0.95)]
    say(f"Words in a reply: {middle} in the middle, {most} at 95 %, {words[-1]} at most.")


def _lengths(recipe: Recipe, prepared: Prepared, data_dir: Path, say: Say) -> None:
    """In tokens, where the tokenizer is at hand."""
    try:
        tokenizer = open_tokenizer(recipe, data_dir)
    except TrainingError as error:
        say(f"Token counts are left out: {error}")
        return
    found = encode(prepared.taught, tokenizer, recipe.data.max_length, recipe.data.replies)
    lengths = sorted(len(example) for example in found.examples)
    say(
        f"Tokens of prompt and reply: {lengths[len(lengths) // 2]} in the middle, {lengths[-1]} at "
        f"most; {found.prompts_cut} prompts are cut at their old end and {found.replies_cut} "
        f"replies at a sentence to fit {recipe.data.max_length}. Every reply ends with EOS: "
        f"{_all_end(found, tokenizer)}."
    )


def _all_end(found: Encoded, tokenizer: Any) -> str:
    return "yes" if all(e.ids[-1] == tokenizer.eos_token_id for e in found.examples) else "NO"


def open_tokenizer(recipe: Recipe, data_dir: Path) -> Any:
    """The base's; raises TrainingError where it is not at hand."""
    from transformers import AutoTokenizer

    source, _ = source_of(recipe.model, data_dir, lambda _text: None)
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"the tokenizer of {source} could not be fetched; check the network or the name."
        ) from error


def _questions(dialogues: Sequence[Dialogue]) -> int:
    return len({one.group for one in dialogues})


def _whole(prepared: Prepared) -> dict[str, Any]:
    report = prepared.report
    rows = [
        {"source": d.source, "id": d.id, "rule": d.rule, "reason": d.reason, "question": d.question}
        for d in report.dropped
    ]
    return report.as_dict() | {"dropped": rows, "sha256": prepared.sha256}
