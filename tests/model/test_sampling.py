"""Choosing tokens: what may be drawn, and that company does not matter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoders.protocol import Draw, Noise
from model.sampling import Sampler, choose, uniform

VOCABULARY = 40
SETTINGS = st.builds(
    Draw,
    seed=st.integers(0, 9),
    temperature=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    top_p=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    top_k=st.sampled_from([0, 1, 5, 50]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
)


def logits(seed: int, rows: int = 1) -> torch.Tensor:
    # Sixteen bits and small numbers, so that there are ties.
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, VOCABULARY, generator=generator).mul(2).round().bfloat16()


def draw(
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
) -> Draw:
    return Draw(temperature, top_p, top_k, repetition_penalty, seed)


def written(how: Draw, steps: int = 6) -> list[int]:
    sampler = Sampler(how, [1, 2, 3])
    return [choose(logits(step), [sampler])[0] for step in range(steps)]


@settings(max_examples=50, deadline=None)
@given(st.lists(SETTINGS, min_size=1, max_size=5))
def test_a_row_is_chosen_as_it_would_be_alone(rows: list[Draw]) -> None:
    samplers = [Sampler(how, [1, 2, 3]) for how in rows]
    together = [choose(logits(step).expand(len(rows), -1), samplers) for step in range(6)]
    assert [list(row) for row in zip(*together, strict=True)] == [written(row) for row in rows]


def test_different_seeds_draw_differently() -> None:
    assert len({tuple(written(draw(temperature=2.0, seed=seed))) for seed in range(10)}) > 5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 50), st.integers(1, 6))
def test_only_the_best_top_k_are_drawn(seed: int, top_k: int) -> None:
    scores = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(seed)).float()
    sampler = Sampler(draw(temperature=9.0, top_k=top_k, seed=seed), [])
    drawn = {choose(scores.unsqueeze(0), [sampler])[0] for _ in range(20)}
    assert drawn <= set(scores.topk(top_k).indices.tolist())


def test_top_p_draws_the_smallest_set_that_holds_the_mass() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    sampler = Sampler(draw(top_p=0.7), [])
    drawn = [choose(scores, [sampler])[0] for _ in range(400)]
    assert set(drawn) == {0, 1}
    # 0.5 of 0.8, with five standard deviations of room.
    assert 200 < drawn.count(0) < 300


def test_the_penalty_lowers_what_was_already_written() -> None:
    scores = torch.tensor([[2.0, 1.9, -3.0]])
    sampler = Sampler(draw(temperature=0, repetition_penalty=1.2), [2])
    assert [choose(scores, [sampler])[0] for _ in range(3)] == [0, 1, 0]


def test_what_is_drawn_is_distributed_as_asked() -> None:
    """Chi-square against temperature, top-k, top-p and penalty worked out in double precision."""
    scores = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(3)) * 2
    wanted = scores[0].double()
    for token in (1, 2, 3):
        wanted[token] = wanted[token] / 1.2 if wanted[token] > 0 else wanted[token] * 1.2
    order = wanted.argsort(descending=True)[:20]
    chances = (wanted[order] / 0.8).softmax(0)
    chances[1:][chances.cumsum(0)[:-1] >= 0.95] = 0
    chances /= chances.sum()
    times = 20_000
    counts = torch.zeros(VOCABULARY)
    for start in range(0, times, 1000):
        samplers = [
            Sampler(Draw(0.8, 0.95, 20, 1.2, seed), [1, 2, 3])
            for seed in range(start, start + 1000)
        ]
        for token in choose(scores.expand(1000, -1), samplers):
            counts[token] += 1
    expected = chances * times
    kept = expected > 0
    assert counts.sum() == counts[order[kept]].sum()
    squares = ((counts[order[kept]] - expected[kept]) ** 2 / expected[kept]).sum()
    freedom = int(kept.sum()) - 1
    # Mean `freedom`, variance twice that; six deviations are one chance in a million or so.
    assert float(squares) < freedom + 6 * (2 * freedom) ** 0.5


def test_random_numbers_are_even_and_each_place_has_its_own() -> None:
    drawn = [uniform(seed, place) for seed in range(100) for place in range(100)]
    assert len(set(drawn)) == 10_000
    counts = torch.histc(torch.tensor(drawn), bins=20, min=0, max=1)
    assert float(((counts - 500) ** 2 / 500).sum()) < 19 + 6 * 38**0.5
    assert uniform(7, 3) == uniform(7 + 2**64, 3)


def test_scores_that_are_not_numbers_are_never_drawn_from() -> None:
    scores = torch.zeros(2, VOCABULARY)
    scores[1, 5] = float("nan")
    with pytest.raises(Noise):
        choose(scores, [Sampler(draw(), []), Sampler(draw(), [])])
