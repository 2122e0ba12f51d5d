"""Choosing tokens from logits: temperature, top-k, top-p, repetition penalty, seed.

The whole batch is worked on at once where the logits are; only the few best
candidates of each row come to the CPU. The random number of a token follows
from its sequence's seed and its place alone, and rows meet only rows of the
same width, so a text does not depend on what else is in the batch. Knows
nothing of slots, text or the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.decoders.protocol import Draw, Noise

# Equal scores are common in 16 bits: a few more candidates than wanted are
# fetched and put in one order, so that a tie at the edge falls the same way.
MARGIN = 16
_MASK = (1 << 64) - 1


def uniform(seed: int, place: int) -> float:
    """The random number in [0, 1) of one place in one sequence (SplitMix64, twice)."""
    mixed = _mix(_mix(seed & _MASK) ^ (place & _MASK))
    return (mixed >> 11) * 2.0**-53


def _mix(x: int) -> int:
    """Steele et al., 2014: a bijection of 64 bits in which each bit stirs all."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


class Sampler:
    """How one sequence chooses. `prompt` counts as already written for the penalty."""

    def __init__(self, draw: Draw, prompt: Sequence[int]) -> None:
        greedy = draw.temperature <= 0
        self.temperature = 1.0 if greedy else draw.temperature
        self.top_p = draw.top_p
        # How many of the best tokens may be drawn; 0 is all of them.
        self.top_k = 1 if greedy else max(draw.top_k, 0)
        self.penalty = draw.repetition_penalty
        self._seed, self._place = draw.seed, len(prompt)
        self._prompt = list(prompt)
        self._seen: torch.Tensor | None = None

    def uniform(self) -> float:
        """The random number of the token that is drawn now."""
        return uniform(self._seed, self._place)

    def seen(self, scores: torch.Tensor) -> torch.Tensor:
        """Which tokens the penalty touches, as a mask beside `scores`."""
        if self._seen is None:
            self._seen = torch.zeros(scores.shape[-1], dtype=torch.bool, device=scores.device)
            self._seen[torch.tensor(self._prompt, dtype=torch.long, device=scores.device)] = True
        return self._seen

    def wrote(self, token: int) -> None:
        """Count a token for the penalty, and go on to the next place."""
        self._place += 1
        if self._seen is None:
            self._prompt.append(token)
        else:
            self._seen[token] = True


def choose(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """A token for each row of `logits`, [rows, vocabulary]; raises Noise."""
    scores = _penalised(logits.float(), samplers)
    tokens = [0] * len(samplers)
    for top_k in {sampler.top_k for sampler in samplers}:
        rows = [row for row, sampler in enumerate(samplers) if sampler.top_k == top_k]
        part = scores if len(rows) == len(samplers) else scores[rows]
        found = _drawn(part, top_k or part.shape[-1], [samplers[row] for row in rows])
        for row, token in zip(rows, found, strict=True):
            tokens[row] = token
            samplers[row].wrote(token)
    return tokens


def _penalised(scores: torch.Tensor, samplers: Sequence[Sampler]) -> torch.Tensor:
    """Keskar et al., 2019 (CTRL): divide positive scores, multiply negative ones."""
    rows = [row for row, sampler in enumerate(samplers) if sampler.penalty != 1.0]
    if not rows:
        return scores
    scores = scores.clone()
    seen = torch.stack([samplers[row].seen(scores) for row in rows])
    penalty = torch.tensor([[samplers[row].penalty] for row in rows], device=scores.device)
    chosen = scores[rows]
    lowered = torch.where(chosen > 0, chosen / penalty, chosen * penalty)
    scores[rows] = torch.where(seen, lowered, chosen)
    return scores


def _best(scores: torch.Tensor, wanted: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and ids of the best, on the CPU; best first, and the smaller id in a tie."""
    width = min(wanted + MARGIN, scores.shape[-1])
    top, ids = (part.cpu() for part in scores.topk(width))
    # topk puts NaN before every number, so the first column tells of any.
    if not bool(top[:, 0].isfinite().all()):
        raise Noise("The model's scores are not numbers.")
    by_id = ids.argsort(dim=1)
    top, order = top.gather(1, by_id).sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, by_id).gather(1, order)
    return top[:, :wanted], ids[:, :wanted]


def _drawn(scores: torch.Tensor, top_k: int, samplers: Sequence[Sampler]) -> list[int]:
    top, ids = _best(scores, top_k)
    if top_k == 1:
        return ids[:, 0].tolist()
    chances = (top / torch.tensor([[s.temperature] for s in samplers])).softmax(dim=1)
    # The smallest set whose mass reaches top_p (Holtzman et al., 2020); never empty.
    beyond = chances.cumsum(dim=1) - chances >= torch.tensor([[s.top_p] for s in samplers])
    beyond[:, 0] = False
    mass = chances.masked_fill(beyond, 0).cumsum(dim=1)
    thrown = torch.tensor([sampler.uniform() for sampler in samplers]) * mass[:, -1]
    at = torch.searchsorted(mass, thrown.unsqueeze(1), right=True).squeeze(1)
    last = (~beyond).sum(dim=1) - 1
    return ids.gather(1, at.minimum(last).unsqueeze(1)).squeeze(1).tolist()
