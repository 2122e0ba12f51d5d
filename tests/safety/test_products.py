"""The encoder's products: 8 bits where they are as right as fp32, and fp32 where not."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bot.safety.products import Array, OneThread, product


def made(seed: int) -> tuple[Array, Array, Array, Array]:
    """A weight, a bias, inputs with two columns that are far larger, and how large they get."""
    dice = np.random.default_rng(seed)
    weight = dice.normal(0, 0.05, (384, 768)).astype(np.float32)
    bias = dice.normal(0, 0.1, 768).astype(np.float32)
    x = dice.normal(0, 1, (24, 384)).astype(np.float32)
    x[:, [7, 300]] *= 60
    return weight, bias, x, np.abs(x).max(0)


def error(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_eight_bits_are_near_fp32_though_some_columns_are_far_larger() -> None:
    weight, bias, x, reach = made(1)
    wanted = x @ weight + bias
    found = product(weight, bias, reach)(x)
    as_if_all_alike = product(weight, bias, np.full_like(reach, reach.max()))(x)
    assert 0 < error(found, wanted) < 0.04
    assert error(found, wanted) < error(as_if_all_alike, wanted) / 2


def test_no_row_is_changed_by_what_it_is_computed_from_twice() -> None:
    weight, bias, x, reach = made(2)
    multiply = product(weight, bias, reach)
    assert np.array_equal(multiply(x), multiply(x))


def test_a_reach_that_cannot_be_right_falls_back_to_fp32() -> None:
    weight, bias, x, reach = made(3)
    broken = reach.copy()
    broken[5] = np.nan
    assert np.allclose(product(weight, bias, broken)(x), x @ weight + bias, atol=1e-4)


def test_without_torch_products_are_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias, x, reach = made(4)
    monkeypatch.setitem(sys.modules, "torch", None)
    with OneThread():
        assert np.allclose(product(weight, bias, reach)(x), x @ weight + bias, atol=1e-4)


def test_the_number_of_threads_is_put_back() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with OneThread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
