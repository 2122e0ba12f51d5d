from __future__ import annotations

import torch

from model.decoders.falcon.philox import gumbel, words
from model.decoders.falcon.plain import choose
from model.decoders.protocol import Draw

NOBODY = torch.zeros(40, dtype=torch.bool)


def scores() -> torch.Tensor:
    return torch.randn(40, generator=torch.Generator().manual_seed(4)) * 2


def test_philox_gives_the_published_words() -> None:
    """The known-answer vector of Random123 for Philox4x32-10 with counter and key of zeros."""
    assert int(words(0, 0, torch.tensor([0]))[0]) == 0x6627E8D5


def test_draws_follow_the_softmax_that_top_k_and_top_p_leave() -> None:
    """Pearson's chi-square over 4,000 seeds stays under its 99.9 % point."""
    z = scores()
    draw = Draw(temperature=0.8, top_p=0.9, top_k=12, repetition_penalty=1.0, seed=0)
    best, ids = (z / 0.8).sort(descending=True)
    chances = best[:12].softmax(dim=0)
    kept = int((chances.cumsum(dim=0) - chances < 0.9).sum())
    wanted = dict(zip(ids[:kept].tolist(), (best[:kept].softmax(dim=0)).tolist(), strict=True))
    counts = dict.fromkeys(wanted, 0)
    runs = 4000
    for seed in range(runs):
        one = Draw(draw.temperature, draw.top_p, draw.top_k, 1.0, seed)
        counts[choose(z, one, 5, NOBODY)] += 1
    chi = sum((counts[i] - runs * p) ** 2 / (runs * p) for i, p in wanted.items())
    freedom = kept - 1
    # Wilson and Hilferty's approximation of the 99.9 % point.
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert kept > 4
    assert chi < limit


def test_a_random_number_belongs_to_seed_position_and_token_alone() -> None:
    all_of_them = gumbel(9, 3, torch.arange(40))
    assert torch.equal(gumbel(9, 3, torch.tensor([7, 30])), all_of_them[[7, 30]])
    assert not torch.equal(gumbel(9, 4, torch.arange(40)), all_of_them)
    assert not torch.equal(gumbel(10, 3, torch.arange(40)), all_of_them)


def test_the_penalty_touches_tokens_that_were_written_and_no_others() -> None:
    z = torch.zeros(40)
    z[3], z[4] = 2.0, 1.9
    seen = NOBODY.clone()
    seen[3] = True
    assert choose(z, Draw(0, 1, 0, 1.0, 0), 0, seen) == 3
    assert choose(z, Draw(0, 1, 0, 1.2, 0), 0, seen) == 4


def test_scores_that_are_no_numbers_draw_nothing() -> None:
    z = scores()
    z[11] = float("nan")
    assert choose(z, Draw(1, 1, 0, 1.0, 0), 0, NOBODY) == -1
