"""Choosing tokens from logits: temperature, top-k, top-p, repetition penalty, seed.

The whole batch is worked on at once where the logits are; only the few best
candidates of each row come to the CPU. Each sequence owns its random generator
and rows meet only rows of the same width, so a text does not depend on what
else is in the batch. Knows nothing of slots, text or the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.types import Sampling

# Equal scores are common in 16 bits: a few more candidates than wanted are
# fetched and put in one order, so that a tie at the edge falls the same way.
MARGIN = 16


class Sampler:
    """How one sequence chooses. `prompt_ids` count as already written for the penalty."""

    def __init__(self, sampling: Sampling, seed: int, prompt_ids: Sequence[int]) -> None:
        greedy = sampling.temperature <= 0
        self.temperature = 1.0 if greedy else sampling.temperature
        self.top_p = sampling.top_p
        # How many of the best tokens may be drawn; 0 is all of them.
        self.top_k = 1 if greedy else max(sampling.top_k, 0)
        self.penalty = sampling.repetition_penalty
        self._generator = torch.Generator().manual_seed(seed)
        self._prompt = list(prompt_ids)
        self._seen: torch.Tensor | None = None

    def uniform(self) -> torch.Tensor:
        """The next random number in [0, 1), shape [1]."""
        return torch.rand(1, generator=self._generator)

    def seen(self, scores: torch.Tensor) -> torch.Tensor:
        """Which tokens the penalty touches, as a mask beside `scores`."""
        if self._seen is None:
            self._seen = torch.zeros(scores.shape[-1], dtype=torch.bool, device=scores.device)
            self._seen[torch.tensor(self._prompt, dtype=torch.long, device=scores.device)] = True
        return self._seen

    def wrote(self, token: int) -> None:
        """Count a token for the penalty."""
        if self._seen is not None:
            self._seen[token] = True


def choose(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """A token for each row of `logits`, [rows, vocabulary]."""
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
    thrown = torch.cat([sampler.uniform() for sampler in samplers]) * mass[:, -1]
    at = torch.searchsorted(mass, thrown.unsqueeze(1), right=True).squeeze(1)
    last = (~beyond).sum(dim=1) - 1
    return ids.gather(1, at.minimum(last).unsqueeze(1)).squeeze(1).tolist()
