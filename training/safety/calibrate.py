"""Turns logits into probabilities and chooses thresholds, on development data alone.

Pure arithmetic on arrays. Knows nothing of texts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def platt(logits: Floats, truth: Flags, rounds: int = 100) -> tuple[float, float]:
    """`a`, `b` of sigmoid(a x + b), by Newton's method on smoothed targets (Platt, 1999)."""
    yes, no = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (yes + 1) / (yes + 2), 1 / (no + 2))
    x = np.stack([logits, np.ones_like(logits)], axis=1).astype(np.float64)
    w = np.array([1.0, 0.0])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        gradient = x.T @ (p - target)
        curve = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(curve, gradient)
        w -= step
        if np.abs(step).max() < 1e-9:
            break
    return float(w[0]), float(w[1])


def probability(logits: Floats, ab: tuple[float, float]) -> Floats:
    """Calibrated probabilities."""
    p: Floats = 1 / (1 + np.exp(-np.clip(ab[0] * logits + ab[1], -30, 30)))
    return p


def threshold(p: Floats, truth: Flags, alarms: float) -> float:
    """The lowest threshold at which at most this share of what is not true is flagged."""
    quiet = np.sort(p[~truth])[::-1]
    allowed = int(alarms * len(quiet))
    if allowed >= len(quiet):
        return 0.0
    return float(np.nextafter(quiet[allowed], 1.0))


def calibration_error(p: Floats, truth: Flags, bins: int = 10) -> float:
    """Expected calibration error: the mean distance of said and seen shares."""
    which = np.minimum((p * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = which == b
        if inside.any():
            total += abs(float(p[inside].mean()) - float(truth[inside].mean())) * inside.mean()
    return float(total)


def area(scores: Floats, truth: Flags) -> float:
    """Area under the ROC curve; ties count half. nan when one class is missing."""
    yes, no = int(truth.sum()), int((~truth).sum())
    if not yes or not no:
        return float("nan")
    order = np.argsort(scores, kind="mergesort")
    ranks = np.empty(len(scores))
    ordered = scores[order]
    _, start, counts = np.unique(ordered, return_index=True, return_counts=True)
    ranks[order] = np.repeat(start + (counts - 1) / 2, counts)
    return float((ranks[truth].sum() - yes * (yes - 1) / 2) / (yes * no))


def spread(
    measure: Callable[[npt.NDArray[np.intp]], float], count: int, seed: int = 0, draws: int = 400
) -> tuple[float, float]:
    """The 95 % bootstrap interval of a measure over rows."""
    generator = np.random.default_rng(seed)
    values = [measure(generator.integers(0, count, count)) for _ in range(draws)]
    return float(np.nanpercentile(values, 2.5)), float(np.nanpercentile(values, 97.5))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a proportion."""
    if of == 0:
        return 0.0, 1.0
    z, p = 1.959964, hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * (p * (1 - p) / of + z * z / (4 * of * of)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
