"""Percentiles of the newest measurements, for people who look at a page now.

Prometheus keeps the long story. Knows numbers only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

NEWEST = 1000


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds; `n` is how many measurements they rest on."""

    n: int
    p50: float
    p95: float
    p99: float


class Latencies:
    """The newest measurements under each name."""

    def __init__(self, newest: int = NEWEST) -> None:
        self._newest = newest
        self._seen: dict[str, deque[float]] = {}

    def add(self, name: str, seconds: float) -> None:
        """Remember one measurement."""
        self._seen.setdefault(name, deque(maxlen=self._newest)).append(seconds)

    def percentiles(self) -> dict[str, Percentiles]:
        """By name, for every name that has measurements."""
        return {name: _percentiles(sorted(seen)) for name, seen in self._seen.items()}


def _percentiles(ordered: list[float]) -> Percentiles:
    def at(share: float) -> float:
        # The nearest-rank method: always a value that was measured.
        return ordered[max(0, -(-int(share * len(ordered) * 100) // 100) - 1)]

    return Percentiles(len(ordered), at(0.5), at(0.95), at(0.99))
