"""Metrics: closed labels, measured percentiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.observe.latency import Latencies
from bot.observe.metrics import Metrics
from bot.observing import TurnReport

MARKER = "my secret sentence"


def test_words_never_become_labels() -> None:
    metrics = Metrics()
    metrics.turn_ended(TurnReport(MARKER))  # type: ignore[arg-type]
    metrics.happened(MARKER)  # type: ignore[arg-type]
    metrics.decided(99)
    shown = metrics.text().decode() + repr(metrics.counts)
    assert MARKER not in shown
    assert 'end="other"' in shown
    assert 'level="3"' in shown


@given(st.lists(st.floats(0, 1e4, allow_nan=False), min_size=1, max_size=300))
def test_percentiles_are_measured_values_in_order(seen: list[float]) -> None:
    latencies = Latencies()
    for value in seen:
        latencies.add("reply", value)
    found = latencies.percentiles()["reply"]
    assert {found.p50, found.p95, found.p99} <= set(seen)
    assert found.p50 <= found.p95 <= found.p99
    assert sum(value <= found.p50 for value in seen) * 2 >= len(seen)
    assert found.n == len(seen)


def test_only_the_newest_measurements_count() -> None:
    latencies = Latencies(newest=10)
    for value in [100.0] * 50 + [1.0] * 10:
        latencies.add("reply", value)
    assert latencies.percentiles()["reply"].p99 == 1.0


@pytest.mark.parametrize("seconds", [-1.0, float("-inf")])
def test_a_clock_that_runs_backwards_is_not_counted(seconds: float) -> None:
    metrics = Metrics()
    metrics.turn_ended(TurnReport("model", seconds, seconds, seconds, 3))
    assert metrics.latencies.percentiles() == {}


def test_a_turn_without_the_model_has_no_latency() -> None:
    metrics = Metrics()
    metrics.turn_ended(TurnReport("fixed"))
    assert metrics.latencies.percentiles() == {}
    assert metrics.counts == {"turns fixed": 1}
