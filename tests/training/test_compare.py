"""The comparison is of what will be served; its verdict is honest and its page harmless."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training import small
from training.cli import main
from training.corpus.check import faults
from training.data import sources
from training.generate import Reply
from training.metrics import Interval, Style, Taught, distinct, paired_difference, repetition, style
from training.run import Places, fit
from training.verdict import judge


def silent(_text: str) -> None:
    """Nobody listens."""


GOOD = Style(20, 0.9, 60.0, 0.01, 0.5, 0.8, 0.02, 12, 0.0, {})
BETTER = Interval(-0.2, -0.3, -0.1)


def test_an_adapter_without_a_fault_goes() -> None:
    assert judge(BETTER, 0.1, GOOD, GOOD, GOOD, GOOD).verdict == "go"


@pytest.mark.parametrize(
    ("difference", "gap", "adapter", "reason"),
    [
        (None, None, GOOD, "nothing was held out"),
        (Interval(-0.1, -0.3, 0.1), 0.1, GOOD, "not surely lower"),
        (BETTER, 2.0, GOOD, "taught rows are known"),
        (BETTER, 0.1, replace(GOOD, ended=0.1), "end by themselves"),
        (BETTER, 0.1, replace(GOOD, repetition=0.6), "repeats itself"),
        (BETTER, 0.1, replace(GOOD, copied=0.6), "copied from taught replies"),
        (BETTER, 0.1, replace(GOOD, longest_copy=90), "words in a row"),
        (BETTER, 0.1, replace(GOOD, unwanted=0.4, unwanted_rules={"dose": 8}), "break a rule"),
    ],
)
def test_every_fault_is_a_no_go_with_its_reason(
    difference: Interval | None, gap: float | None, adapter: Style, reason: str
) -> None:
    found = judge(difference, gap, GOOD, adapter, GOOD, GOOD)
    assert found.verdict == "no-go"
    assert reason in " ".join(found.reasons)


def test_one_reply_of_a_dozen_alone_is_no_evidence_and_two_are() -> None:
    one, two = (
        replace(GOOD, replies=12, unwanted=n / 12, unwanted_rules={"dose": n}) for n in (1, 2)
    )
    assert judge(BETTER, 0.1, GOOD, one, GOOD, GOOD).verdict == "go"
    assert judge(BETTER, 0.1, GOOD, two, GOOD, GOOD).verdict == "no-go"


def test_the_interval_holds_the_difference_and_is_wider_for_fewer_questions() -> None:
    base, adapter = [2.0 + n % 5 for n in range(60)], [1.5 + n % 5 + (n % 3) / 3 for n in range(60)]
    many = paired_difference(base, adapter, [2] * 60, [f"{n}" for n in range(60)])
    few = paired_difference(base, adapter, [2] * 60, [f"{n // 10}" for n in range(60)])
    assert many.low <= many.value <= many.high
    assert many.value == pytest.approx(few.value)
    same = paired_difference(base, base, [2] * 60, ["a", "b"] * 30)
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_repetition_copying_and_variety_are_counted() -> None:
    assert repetition("one two three four five six") == 0
    assert repetition("a b c d " * 5) > 0.7
    assert distinct(["a b", "a c"], 1) == pytest.approx(3 / 4)
    taught = Taught(["the quick brown fox jumps over the lazy dog tonight"])
    share, longest = taught.copied("He said the quick brown fox jumps over the lazy dog tonight")
    assert share == pytest.approx(10 / 12)
    assert longest == 10
    found = style([Reply("Take 20 mg now.", 5, True), Reply("I hear you.", 3, False)], taught)
    assert (found.ended, found.unwanted) == (0.5, 0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("run")
    places = Places(folder, "small")
    fit(small.recipe(small.save_base(folder / "base")), places, silent)
    return places


def test_compare_writes_a_report_and_a_verdict_and_the_page_asks_nothing_of_the_network(
    run: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "--name", "small", "--data-dir", str(run.data_dir)]
    assert main(words) == 0, capsys.readouterr().err
    manifest = json.loads((run.adapter / "manifest.json").read_text())
    report = json.loads((run.adapter / "report.json").read_text())
    # A tiny random model cannot end its replies.
    assert manifest["verdict"] == report["verdict"] == "no-go"
    assert manifest["reasons"] == report["reasons"] != []
    assert report["adapter_sha256"] == manifest["adapter_sha256"]
    assert report["held_out"]["adapter"] < report["held_out"]["base"]
    page = (run.adapter / "report.html").read_text()
    assert "default-src 'none'" in page
    assert not any(word in page for word in ("<script", "http://", "https://", 'src="/'))
    out = tmp_path / "elsewhere" / "small"
    assert (
        main(["export", "--name", "small", "--data-dir", str(run.data_dir), "--out", str(out)]) == 0
    )
    assert (out / "report.html").is_file()


def test_other_weights_than_the_manifests_are_not_compared(
    run: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run.adapter, tmp_path / "small")
    with (tmp_path / "small" / "adapter_model.safetensors").open("ab") as file:
        file.write(b"x")
    assert main(["compare", "--adapter", str(tmp_path / "small")]) == 1
    assert "is not the file that its manifest names" in capsys.readouterr().err


def test_publish_sends_nothing_by_itself_and_refuses_what_has_no_go(
    run: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["publish", "--adapter", str(run.adapter), "--repo", "a/b"]
    assert main(words) == 0
    assert "Nothing was sent" in capsys.readouterr().out
    assert main([*words, "--upload"]) == 1
    assert "Only an adapter with the verdict go" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fit", "--recipe", "nothing.yaml"], "cannot be read"),
        (["fit", "fit.stepz=3"], "Did you mean `fit.steps`?"),
        (["compare", "--name", "nothing"], "There is no adapter at"),
        (["check", "data.sources=[nothing.csv]"], "There is no data at"),
    ],
)
def test_a_mistake_is_one_sentence_and_never_a_traceback(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


def test_the_corpus_has_600_dialogues_and_the_review_finds_faults() -> None:
    rows = [row for path in sources.shipped_files("corpus") for row in sources.read_file(path)]
    if not rows:
        pytest.skip("the corpus is not here yet")
    assert len(rows) >= 600
    hard = ("format", "crisis", "dose", "phone", "link", "placeholder", "evaluation", "id")
    assert [fault for fault in faults(rows) if fault.rule in hard] == []
    bad = json.loads(json.dumps(rows[0][1]))
    bad["turns"][-1]["text"] = "As a therapist, I say take 20 mg."
    assert {"person", "dose"} <= {fault.rule for fault in faults([("x", bad)])}
