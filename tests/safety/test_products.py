"""The encoder's products: 8 bits where they are as right as fp32, and fp32 where not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bot.safety.products import OneThread, product


def made(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A weight, a bias, inputs with two columns that are far larger, and how large they get."""
    dice = torch.Generator().manual_seed(seed)
    weight = torch.randn(768, 384, generator=dice) * 0.05
    bias = torch.randn(768, generator=dice) * 0.1
    x = torch.randn(24, 384, generator=dice)
    x[:, [7, 300]] *= 60
    return weight, bias, x, x.abs().amax(0)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_eight_bits_are_near_fp32_though_some_columns_are_far_larger() -> None:
    weight, bias, x, reach = made(1)
    wanted = functional.linear(x, weight, bias)
    found = product(weight, bias, reach)(x)
    as_if_all_alike = product(weight, bias, torch.full_like(reach, float(reach.max())))(x)
    assert 0 < error(found, wanted) < 0.04
    assert error(found, wanted) < error(as_if_all_alike, wanted) / 2


def test_no_row_is_changed_by_what_it_is_computed_from_twice() -> None:
    weight, bias, x, reach = made(2)
    multiply = product(weight, bias, reach)
    assert torch.equal(multiply(x), multiply(x))


def test_a_reach_that_cannot_be_right_falls_back_to_fp32() -> None:
    weight, bias, x, reach = made(3)
    broken = reach.clone()
    broken[5] = torch.nan
    assert torch.allclose(product(weight, bias, broken)(x), functional.linear(x, weight, bias))


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    with OneThread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
