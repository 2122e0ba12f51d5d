"""What is read, what is left out, and that nothing leaks across the split."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from model.types import Turn
from training import probes
from training.data.dialogue import Dialogue, same
from training.data.formats import Unreadable, turns_of
from training.data.lint import BY_ID, hits
from training.data.near import Near
from training.data.prepare import prepare
from training.data.repair import Unfit, repaired
from training.data.sources import read
from training.data.split import split
from training.errors import DataError
from training.recipe import DataPart, Source

ASK, ANSWER = "How do I rest better?", "A regular hour helps many people. What keeps you awake?"
PAIR = (Turn("user", ASK), Turn("assistant", ANSWER))


@pytest.mark.parametrize(
    "row",
    [
        {"question": ASK, "answer": ANSWER},
        {"prompt": ASK, "response": ANSWER},
        {"instruction": ASK, "output": ANSWER},
        {"text": f"<HUMAN>: {ASK}\n<ASSISTANT>: {ANSWER}"},
        {"messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": ANSWER}]},
        {"turns": [{"role": "user", "text": ASK}, {"role": "assistant", "text": ANSWER}]},
        {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": ANSWER}]},
    ],
)
def test_every_format_gives_the_same_turns(row: dict[str, Any]) -> None:
    assert turns_of(row) == PAIR


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"text": "no marks"},
        {"question": ASK, "answer": "  "},
        {"messages": [{"role": "assistant", "content": ANSWER}]},
        {"messages": [{"role": "wizard", "content": ASK}]},
        {"messages": [{"role": "user", "content": ASK}]},
        {"turns": ["words"]},
    ],
)
def test_a_row_without_a_reply_is_unreadable(row: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        turns_of(row)


def test_words_after_the_last_reply_are_not_learnt() -> None:
    row = {"text": f"<HUMAN>: {ASK}\n<ASSISTANT>: {ANSWER}\n<HUMAN>: And then?"}
    assert turns_of(row) == PAIR


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_every_kind_of_file_is_read(tmp_path: Path, suffix: str) -> None:
    rows = [{"question": f"{ASK} {n}", "answer": 'With "quotes",\nand lines.'} for n in range(3)]
    path = write(tmp_path / f"rows.{suffix}", rows)
    assert [row for _, row in read(Source(str(path)))] == rows


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b'{"question": "a"}\n{broken', "line 2, is no JSON"),
        ("a.jsonl", b'["a"]', "must be an object"),
        ("a.json", b"{}", "list of rows"),
        ("a.csv", b"question\n\xff\xfe", "not UTF-8"),
        ("a.parquet", b"no parquet", "no parquet file"),
        ("a.txt", b"words", r"is no \.jsonl"),
    ],
)
def test_a_broken_file_is_named_in_one_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read(Source(str(tmp_path / name)))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"There is no data at nothing\.jsonl"):
        read(Source("nothing.jsonl"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("I'm sorry, but I can't provide the help that you need.", "refuses-help"),
        ("I feel like I want to die.", "crisis"),
        ("Take 20 mg before bed.", "dose"),
        ("You should increase your medication.", "medication"),
        ("It sounds like you have depression.", "diagnosis"),
        ("As a therapist, I see this often.", "person"),
        ("Call 1-800-555-0199 now.", "phone"),
        ("Ring +44 (0)20 7946 0958 or 06.12.34.56.78.", "phone"),
        ("There is 0800123456.", "phone"),
        ("See www.example.org for more.", "link"),
        ("Write to [name] soon.", "placeholder"),
        ("My name is Robin and I can help.", "name"),
        ("I think that maybe...", "unfinished"),
    ],
)
def test_each_rule_sees_what_it_is_for(text: str, rule: str) -> None:
    assert rule in {hit.rule.id for hit in hits(text, "assistant")}


@pytest.mark.parametrize(
    "text",
    [
        "If you have depression, small steps can still help.",
        "That sounds heavy. What would make tonight easier?",
        "Many people find that a walk at 10 or 11 helps.",
        "1. 2. 3. 4. 5. 6. 7. 8. 9. 10. 11. 12.",
        "Rate your mood 1, 2, 3, 4, 5, 6, 7, 8 or 9.",
        "It is 2026 and you have come a long way.",
        "Your practice of writing things down seems to help you.",
    ],
)
def test_supportive_words_meet_no_rule(text: str) -> None:
    assert hits(text, "assistant") == []


def test_a_reply_loses_the_bad_sentence_and_keeps_the_others() -> None:
    good = "Rest is hard when the mind is loud. What helps you to slow down in the evening? "
    dialogue = Dialogue("1", "s", (PAIR[0], Turn("assistant", good + "See www.example.org.")), "g")
    better, rules = repaired(dialogue)
    assert (better.turns[1].text, rules) == (good.strip(), ["link"])


def test_a_reply_that_is_mostly_bad_is_dropped() -> None:
    dialogue = Dialogue("1", "s", (PAIR[0], Turn("assistant", "See www.example.org.")), "g")
    with pytest.raises(Unfit) as error:
        repaired(dialogue)
    assert error.value.rule == "link"


def test_the_shipped_rows_that_refuse_crisis_help_are_never_taught() -> None:
    found = prepare(DataPart(sources=(Source("helios172"),)), 42)
    rules = {one.id: one.rule for one in found.report.dropped}
    assert (rules["41"], rules["168"]) == ("refuses-help", "refuses-help")
    assert {rules[row] for row in ("38", "39", "40", "58", "124")} == {"crisis"}
    crisis = BY_ID["crisis"].pattern
    assert not any(crisis.search(one.text) for one in [*found.taught, *found.held_out])
    assert len(found.taught) + len(found.held_out) + len(found.report.dropped) == 172


def rows(tmp_path: Path, found: list[tuple[str, str]]) -> DataPart:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"question": q, "answer": a}) for q, a in found))
    return DataPart(sources=(Source(str(path)),), held_out=0.3)


def test_duplicates_and_near_duplicates_are_taught_once(tmp_path: Path) -> None:
    long = " ".join(f"word{n}" for n in range(80))
    part = rows(
        tmp_path,
        [(ASK, long), (ASK.upper(), f"{long}!"), (ASK, f"{long} more"), ("B?", "Yes, b c d.")],
    )
    found = prepare(part, 1)
    assert sorted(one.rule for one in found.report.dropped) == ["duplicate", "near-duplicate"]


def test_texts_of_evaluation_only_sets_are_never_taught(tmp_path: Path) -> None:
    asked = probes.probes()[4].turns[0].text
    found = prepare(rows(tmp_path, [(asked, ANSWER), (ASK, ANSWER), ("Why?", "Because, so.")]), 1)
    assert "evaluation" in {one.rule for one in found.report.dropped}
    assert asked not in {one.question for one in [*found.taught, *found.held_out]}


def test_no_question_and_no_twin_of_it_stands_on_both_sides() -> None:
    found = prepare(DataPart(sources=(Source("counsel_chat"),), held_out=0.2), 7)
    taught, held = ({same(d.question) for d in side} for side in (found.taught, found.held_out))
    assert held
    assert not taught & held
    assert not {d.group for d in found.taught} & {d.group for d in found.held_out}
    near = Near(0.5)
    for question in taught:
        near.add(question)
    assert not [q for q in held if (at := near.add(q)[1]) is not None and at < len(taught)]


def test_a_row_that_is_added_moves_no_other_to_the_other_side() -> None:
    def one(n: int) -> Dialogue:
        return Dialogue(str(n), "s", (Turn("user", f"question {n} " * 4), PAIR[1]), f"s/{n}")

    before = {d.id for d in split([one(n) for n in range(40)], 0.25, 3)[1]}
    after = {d.id for d in split([one(n) for n in range(41)], 0.25, 3)[1]}
    assert len(before ^ after) <= 2


def test_the_split_and_the_hash_are_the_same_every_time() -> None:
    part = DataPart(sources=(Source("helios172"),))
    one, other = prepare(part, 5), prepare(part, 5)
    assert (one.sha256, one.held_out) == (other.sha256, other.held_out)


def test_an_empty_source_is_told_and_nothing_left_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(DataError, match="No row is left"):
        prepare(DataPart(sources=(Source(str(tmp_path / "rows.jsonl")),)), 1)
