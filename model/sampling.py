"""Choosing a token from logits: temperature, top-k, top-p, repetition penalty, seed.

Each sequence owns its random generator, so its text does not depend on what
else is in the batch. Knows nothing of slots, text or the model.
"""

from __future__ import annotations

import torch

from model.types import Sampling


class Sampler:
    """The choice for one sequence. `seen` are the token ids that a penalty counts."""

    def __init__(self, sampling: Sampling, seed: int, prompt_ids: list[int]) -> None:
        self._sampling = sampling
        self._generator = torch.Generator().manual_seed(seed)
        self._seen = set(prompt_ids)

    def choose(self, logits: torch.Tensor) -> int:
        """One token id from float logits of shape [vocabulary]."""
        scores = self._penalised(logits.detach().float().cpu())
        token = int(scores.argmax()) if self._sampling.temperature <= 0 else self._draw(scores)
        self._seen.add(token)
        return token

    def _penalised(self, scores: torch.Tensor) -> torch.Tensor:
        """Keskar et al., 2019 (CTRL): divide positive scores, multiply negative ones."""
        penalty = self._sampling.repetition_penalty
        if penalty == 1.0:
            return scores
        scores = scores.clone()
        index = torch.tensor(sorted(self._seen))
        chosen = scores[index]
        scores[index] = torch.where(chosen > 0, chosen / penalty, chosen * penalty)
        return scores

    def _draw(self, scores: torch.Tensor) -> int:
        wanted = self._sampling.top_k if self._sampling.top_k > 0 else scores.numel()
        top, index = (scores / self._sampling.temperature).topk(min(wanted, scores.numel()))
        chances = top.softmax(dim=0)
        # The smallest set whose mass reaches top_p (Holtzman et al., 2020); never empty.
        chances[chances.cumsum(dim=0) - chances >= self._sampling.top_p] = 0
        drawn = torch.multinomial(chances, 1, generator=self._generator)
        return int(index[int(drawn)])
