"""The fast paths beside the fp32 one, on two layers of Falcon-7B's width, random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from model.decoders.falcon import weights
from model.decoders.falcon.backend import NEWEST, Rows
from model.decoders.falcon.cuda import build
from model.decoders.falcon.graphs import GraphBackend
from model.decoders.falcon.plain import PlainBackend, choose
from model.decoders.falcon.shape import Shape
from model.decoders.protocol import Draw

SHAPE = Shape(hidden=4544, heads=71, layers=2, vocabulary=65024)
SLOTS, CONTEXT = 64, 2048
GREEDY = Draw(0, 1, 0, 1, 0)


def why_not(path: str) -> str:
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    if path == "triton":
        return "" if torch.cuda.get_device_capability() >= (7, 5) else "the GPU is too old"
    if torch.cuda.get_device_capability()[0] != 9:
        return "the GPU is not a Hopper"
    return "" if build.compiler() else "there is no nvcc"


pytestmark = pytest.mark.gpu
Both = tuple[GraphBackend, PlainBackend]


@pytest.fixture(scope="module", params=["compiled", "triton"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    if why_not(request.param):
        pytest.skip(why_not(request.param))
    from tests.benchmarks.gpu import steps

    cache: Path = tmp_path_factory.mktemp("cache")
    with torch.inference_mode():
        made = weights.random(SHAPE, torch.device("cuda"))
        fast = steps.build(request.param, made, cache)
        plain = PlainBackend(made, slots=SLOTS, context=CONTEXT)
        steps.fill(fast, plain)
        fast.use_banks(0, 2)
        yield fast, plain


def begin(backend: Any, draw: Draw) -> None:
    for slot in range(SLOTS):
        backend.begin(slot, [1, 2, 3], draw)


@pytest.mark.parametrize("count", [1, 8, 64])
def test_logits_are_within_5e_3_of_fp32_at_any_batch_and_history(both: Both, count: int) -> None:
    from tests.benchmarks.gpu import steps

    fast, plain = both
    begin(fast, GREEDY)
    for context in (128, 700, CONTEXT):
        rows = steps.rows_at(count, context, mixed=True)
        fast.run(rows).read()
        assert steps.error(steps.scores(fast, count), plain.logits(rows)) < 5e-3


@pytest.mark.parametrize("count", [9, 64, 65, 500])
def test_prompts_leave_the_logits_of_fp32(both: Both, count: int) -> None:
    from tests.benchmarks.gpu import steps

    fast, plain = both
    begin(fast, GREEDY)
    rows = Rows(picks=[count - 1])
    for pos in range(count):
        rows.add(5, 40 + pos, 17 * pos % 60000, 1)
    fast.run(rows).read()
    assert steps.error(steps.scores(fast, 1), plain.logits(rows)) < 5e-3


def test_the_same_seed_writes_the_same_text_whatever_else_is_in_the_batch(
    both: Both,
) -> None:
    fast, _ = both

    def write(company: int) -> list[int]:
        fast.begin(0, [9, 8], Draw(0.9, 0.95, 50, 1.1, seed=77))
        for slot in range(1, company):
            fast.begin(slot, [slot], Draw(1.2, 1.0, 0, 1.0, seed=slot))
        rows = Rows(picks=[1])
        rows.add(0, 0, 9, 0)
        rows.add(0, 1, 8, 0)
        out = fast.run(rows).read()
        for pos in range(2, 26):
            step = Rows(picks=list(range(company)))
            for slot in range(company):
                step.add(slot, pos if slot == 0 else 600 + pos, NEWEST, slot % 2)
            out.append(fast.run(step).read()[0])
        return out

    alone = write(1)
    assert len(set(alone)) > 3
    assert write(2) == alone
    assert write(23) == alone
    assert write(64) == alone


@pytest.mark.parametrize(
    "draw",
    [
        Draw(0.7, 0.9, 50, 1.1, 5),
        Draw(1.0, 1.0, 0, 1.0, 6),
        Draw(1.3, 0.8, 0, 1.2, 7),
        Draw(0.5, 0.3, 3000, 1.0, 8),
        Draw(1.0, 0.9, 1, 1.0, 9),
    ],
)
def test_the_kernel_draws_what_the_plain_rule_draws(both: Both, draw: Draw) -> None:
    """Over 64 rows; noise differs in the last bit of a logarithm, so one row may fall otherwise."""
    from tests.benchmarks.gpu import steps

    fast, _ = both
    rows = steps.rows_at(SLOTS, 300, mixed=True)
    begin(fast, GREEDY)
    fast.run(rows).read()
    logits = steps.scores(fast, SLOTS)
    begin(fast, draw)
    drawn = fast.run(rows).read()
    seen = torch.zeros(SHAPE.vocabulary, dtype=torch.bool, device="cuda")
    seen[[1, 2, 3]] = True
    wanted = [choose(logits[i], draw, rows.pos[i], seen) for i in range(SLOTS)]
    assert sum(a != b for a, b in zip(drawn, wanted, strict=True)) <= 1
