"""Choosing tokens: what may be drawn, and that company does not matter."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.sampling import Sampler, choose
from model.types import Sampling

VOCABULARY = 40
SETTINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    top_p=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    top_k=st.sampled_from([0, 1, 5, 50]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
)


def logits(seed: int, rows: int = 1) -> torch.Tensor:
    # Sixteen bits and small numbers, so that there are ties.
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, VOCABULARY, generator=generator).mul(2).round().bfloat16()


def written(sampling: Sampling, seed: int, steps: int = 6) -> list[int]:
    sampler = Sampler(sampling, seed, [1, 2, 3])
    return [choose(logits(step), [sampler])[0] for step in range(steps)]


@given(st.lists(st.tuples(SETTINGS, st.integers(0, 9)), min_size=1, max_size=5))
def test_a_row_is_chosen_as_it_would_be_alone(rows: list[tuple[Sampling, int]]) -> None:
    samplers = [Sampler(sampling, seed, [1, 2, 3]) for sampling, seed in rows]
    together = [choose(logits(step).expand(len(rows), -1), samplers) for step in range(6)]
    assert [list(row) for row in zip(*together, strict=True)] == [written(*row) for row in rows]


def test_different_seeds_draw_differently() -> None:
    free = Sampling(temperature=2.0, top_k=0, top_p=1.0)
    assert len({tuple(written(free, seed)) for seed in range(10)}) > 5


@given(st.integers(0, 50), st.integers(1, 6))
def test_only_the_best_top_k_are_drawn(seed: int, top_k: int) -> None:
    scores = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(seed)).float()
    sampling = Sampling(temperature=9.0, top_k=top_k, top_p=1.0, repetition_penalty=1.0)
    sampler = Sampler(sampling, seed, [])
    drawn = {choose(scores.unsqueeze(0), [sampler])[0] for _ in range(20)}
    assert drawn <= set(scores.topk(top_k).indices.tolist())


def test_top_p_draws_the_smallest_set_that_holds_the_mass() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    sampling = Sampling(temperature=1.0, top_k=0, top_p=0.7, repetition_penalty=1.0)
    sampler = Sampler(sampling, 0, [])
    drawn = [choose(scores, [sampler])[0] for _ in range(400)]
    assert set(drawn) == {0, 1}
    # 0.5 of 0.8, with five standard deviations of room.
    assert 200 < drawn.count(0) < 300


def test_the_penalty_lowers_what_was_already_written() -> None:
    scores = torch.tensor([[2.0, 1.9, -3.0]])
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=1.2), 0, [2])
    assert [choose(scores, [sampler])[0] for _ in range(3)] == [0, 1, 0]
