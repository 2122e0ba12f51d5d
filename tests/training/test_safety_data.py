"""Holds the written safety data to what its README promises.

Knows the files and, where they are present, the evaluation-only sets, of which
it prints identifiers and never text. It does not know the classifier: whether
the data teaches anything is measured by training, not here.
"""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "training" / "safety" / "data"
SPLITS = {"train", "dev", "holdout"}
LANGUAGES = {"en", "de", "fr", "es", "pt", "hi", "hi-Latn", "id"}
CATEGORIES = {
    *("none", "suicide", "selfharm", "violence", "harm_others"),
    *("eating", "minor", "psychosis", "method"),
}
ALIKE = 0.7  # of the words of two texts together, this share in common makes near-duplicates
FEW = 4  # shorter than this is a label, or anybody's "yes, I do"
RUN = 8  # so many words in the same order are no chance

Row = dict[str, Any]
Pair = tuple[str, str]


@cache
def read(pattern: str) -> tuple[Row, ...]:
    files = sorted(DATA.glob(pattern))
    return tuple(
        json.loads(line) for f in files for line in f.read_text("utf-8").splitlines() if line
    )


def messages() -> tuple[Row, ...]:
    return read("messages_*.jsonl")


def conversations() -> tuple[Row, ...]:
    return read("conversations_*.jsonl")


def user_texts() -> list[tuple[str, str]]:
    """What persons say, as (id, text): messages, and the user's turns of conversations."""
    said = [(m["id"], m["text"]) for m in messages()]
    for c in conversations():
        said += [(c["id"], t["text"]) for t in c["turns"] if t["role"] == "user"]
    return said


def words(text: str) -> list[str]:
    """The words without case and punctuation; combining marks (Devanagari) stay with theirs."""
    flat = unicodedata.normalize("NFKC", text).casefold()
    kept = (c if unicodedata.category(c)[0] in "LNMS" else " " for c in flat)
    return "".join(kept).split()


def alike(ours: Iterable[tuple[str, str]], theirs: Iterable[tuple[str, str]]) -> set[Pair]:
    """The (id, id) of texts that share most of their words, each of ours with all of theirs.

    Two sets this alike share one of their rarest words (prefix filtering) and are of like size,
    so only those are compared and long common texts cost nothing.
    """
    left = [(name, frozenset(words(text))) for name, text in ours]
    right = [(name, frozenset(words(text))) for name, text in theirs]
    common = Counter(word for _, bag in (*left, *right) for word in bag)

    def rarest(bag: frozenset[str]) -> list[str]:
        needed = len(bag) - math.ceil(ALIKE * len(bag)) + 1
        return sorted(bag, key=lambda word: (common[word], word))[:needed]

    index: dict[tuple[str, int], list[int]] = defaultdict(list)
    for at, (_, bag) in enumerate(right):
        for word in rarest(bag):
            index[word, len(bag)].append(at)
    found = set()
    for name, bag in left:
        sizes = range(math.ceil(ALIKE * len(bag)), int(len(bag) / ALIKE) + 1)
        maybe = {at for word in rarest(bag) for size in sizes for at in index.get((word, size), ())}
        for other, theirs_bag in (right[at] for at in maybe):
            shared = len(bag & theirs_bag)
            if name != other and shared > ALIKE * (len(bag) + len(theirs_bag) - shared):
                found.add((name, other))
    return found


def runs(text: str) -> Iterator[tuple[str, ...]]:
    said = words(text)
    return (tuple(said[i : i + RUN]) for i in range(len(said) - RUN + 1))


def test_every_message_has_the_promised_fields() -> None:
    for m in messages():
        assert set(m) == {
            *("id", "text", "level", "category", "theme", "style", "language", "split")
        }
        assert m["text"].strip() == m["text"] != "", m["id"]
        assert m["level"] in range(4), m["id"]
        assert m["category"] in CATEGORIES, m["id"]
        assert m["language"] in LANGUAGES, m["id"]
        assert m["split"] in SPLITS, m["id"]


def test_a_message_names_no_danger_exactly_at_level_zero() -> None:
    assert [m["id"] for m in messages() if (m["category"] == "none") != (m["level"] == 0)] == []


def test_every_conversation_begins_with_the_person_and_takes_turns() -> None:
    for c in conversations():
        assert set(c) == {"id", "theme", "style", "language", "split", "turns"}
        assert c["language"] in LANGUAGES, c["id"]
        assert c["split"] in SPLITS, c["id"]
        assert 1 <= len(c["turns"]) <= 24, c["id"]
        for i, turn in enumerate(c["turns"]):
            assert turn["role"] == ("user", "assistant")[i % 2], c["id"]
            assert turn["level"] in range(4), c["id"]


def test_the_assistants_turn_leaves_the_level_as_it_was() -> None:
    for c in conversations():
        for before, after in zip(c["turns"], c["turns"][1:], strict=False):
            if after["role"] == "assistant":
                assert after["level"] == before["level"], c["id"]


def test_no_identifier_is_used_twice() -> None:
    for rows in (messages(), conversations()):
        assert [i for i, n in Counter(r["id"] for r in rows).items() if n > 1] == []


def test_there_is_as_much_as_was_promised() -> None:
    assert len(messages()) >= 3000
    assert len(conversations()) >= 150
    calm = [c for c in conversations() if max(t["level"] for t in c["turns"]) < 2]
    assert 0.4 <= len(calm) / len(conversations()) <= 0.65


@pytest.mark.parametrize("split", sorted(SPLITS))
def test_every_split_holds_every_level_in_earnest(split: str) -> None:
    levels = Counter(m["level"] for m in messages() if m["split"] == split)
    total = levels.total()
    assert 0.38 <= levels[0] / total <= 0.55
    assert levels[1] / total >= 0.04
    assert levels[2] / total >= 0.20
    assert levels[3] / total >= 0.06


def test_other_languages_than_english_are_a_fifth_and_none_is_missing() -> None:
    languages = Counter(m["language"] for m in messages())
    assert set(languages) == LANGUAGES
    assert 1 - languages["en"] / languages.total() >= 0.15


def test_a_theme_and_style_are_never_in_two_splits() -> None:
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in (*messages(), *conversations()):
        groups[row["theme"], row["style"]].add(row["split"])
    assert {g: s for g, s in groups.items() if len(s) > 1} == {}


@pytest.mark.parametrize(("field", "at_least"), [("theme", 6), ("style", 3)])
def test_whole_themes_and_styles_are_seen_in_the_holdout_only(field: str, at_least: int) -> None:
    rows = (*messages(), *conversations())
    held = {r[field] for r in rows if r["split"] == "holdout"}
    seen = {r[field] for r in rows if r["split"] != "holdout"}
    assert len(held - seen) >= at_least


def test_no_message_nearly_repeats_another() -> None:
    said = [(m["id"], m["text"]) for m in messages()]
    assert alike(said, said) == set()


def test_a_near_repeat_would_be_found() -> None:
    text = messages()[0]["text"]
    assert alike([("new", text + " really")], [("old", text)]) == {("new", "old")}
    assert set(runs(text)) & set(runs("so " + text))


def evaluation_folder() -> Path:
    """The folder of the evaluation-only sets beside the project, or a skip."""
    for place in ROOT.parents:
        if (place / "shared" / "data").is_dir():
            return place / "shared" / "data"
    pytest.skip("the evaluation sets are not here: no ../shared/data beside the project")


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def evaluation_texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Every text of the sets that must not be trained on, as (where, text)."""
    for file in sorted(folder.rglob("*")):
        rows: Iterable[object] = ()
        if file.parent.name == "helios172" or file.parent == folder:
            continue  # training data, and the tables of crisis lines
        if file.suffix in {".csv", ".tsv"}:
            with file.open(encoding="utf-8", newline="") as lines:
                rows = list(csv.reader(lines, delimiter="\t" if file.suffix == ".tsv" else ","))
        elif file.suffix in {".jsonl", ".json"}:
            whole = file.read_text("utf-8")
            parts = whole.splitlines() if file.suffix == ".jsonl" else [whole]
            rows = [json.loads(part) for part in parts if part]
        for number, row in enumerate(rows):
            if isinstance(row, dict) and row.get("split") == "train":
                continue
            for text in strings(row):
                if len(words(text)) >= FEW:
                    yield f"{file.name}:{number}", text


def test_no_written_text_nearly_repeats_an_evaluation_text() -> None:
    assert alike(user_texts(), evaluation_texts(evaluation_folder())) == set()


def test_no_written_text_shares_a_long_run_of_words_with_an_evaluation_text() -> None:
    folder = evaluation_folder()
    ours = {run: name for name, said in user_texts() for run in runs(said)}
    texts = evaluation_texts(folder)
    found = {(ours[run], where) for where, text in texts for run in runs(text) if run in ours}
    assert found == set()
