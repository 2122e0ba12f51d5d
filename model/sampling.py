"""Choosing tokens from logits: temperature, top-k, top-p, repetition penalty, seed.

The heavy part runs once for the whole batch where the logits are; only the few
best candidates of each row come to the CPU. Each sequence owns its random
generator, so its text does not depend on what else is in the batch. Knows
nothing of slots, text or the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.types import Sampling

# Equal scores are common in 16 bits: a few more candidates than wanted are
# fetched and put in one order, so that the width of the batch cannot matter.
MARGIN = 16


class Sampler:
    """The choice for one sequence. `prompt_ids` count as already written for the penalty."""

    def __init__(self, sampling: Sampling, seed: int, prompt_ids: Sequence[int]) -> None:
        self.greedy = sampling.temperature <= 0
        self.penalty = sampling.repetition_penalty
        self._sampling = sampling
        self._generator = torch.Generator().manual_seed(seed)
        self._prompt = list(prompt_ids)
        self._seen: torch.Tensor | None = None

    def candidates(self, vocabulary: int) -> int:
        """How many of the best tokens the draw needs to see."""
        wanted = 1 if self.greedy else self._sampling.top_k
        return vocabulary if wanted <= 0 else min(wanted + MARGIN, vocabulary)

    def seen(self, scores: torch.Tensor) -> torch.Tensor:
        """Which tokens the penalty touches, as a mask beside `scores`."""
        if self._seen is None:
            self._seen = torch.zeros(scores.shape[-1], dtype=torch.bool, device=scores.device)
            self._seen[torch.tensor(self._prompt, dtype=torch.long, device=scores.device)] = True
        return self._seen

    def pick(self, top: torch.Tensor, index: torch.Tensor) -> int:
        """One token of the candidates `index`, whose scores are `top`, both on the CPU."""
        by_id = index.argsort()
        top, order = top[by_id].sort(descending=True, stable=True)
        index = index[by_id][order]
        token = int(index[0]) if self.greedy else int(index[self._draw(top)])
        if self._seen is not None:
            self._seen[token] = True
        return token

    def _draw(self, top: torch.Tensor) -> int:
        if self._sampling.top_k > 0:
            top = top[: self._sampling.top_k]
        chances = (top / self._sampling.temperature).softmax(dim=0)
        # The smallest set whose mass reaches top_p (Holtzman et al., 2020); never empty.
        beyond = chances.cumsum(dim=0) - chances >= self._sampling.top_p
        beyond[0] = False
        chances[beyond] = 0
        return int(torch.multinomial(chances, 1, generator=self._generator))


def choose(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """A token for each row of `logits`, [rows, vocabulary]."""
    scores = _penalised(logits.float(), samplers)
    width = max(sampler.candidates(scores.shape[-1]) for sampler in samplers)
    top, index = (part.cpu() for part in scores.topk(width))
    return [sampler.pick(top[row], index[row]) for row, sampler in enumerate(samplers)]


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
