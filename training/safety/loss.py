"""What the network is wrong by: cumulative levels and the kind of danger.

Arithmetic on logits and labels. Knows nothing of texts or tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.safety.examples import CATEGORIES, Example
from training.safety.net import LEVELS

NO_CATEGORY = -100  # cross entropy passes it over
_NEAR = 0.25  # of a squared distance of logits, beside the kinds
HIGH = 1  # the place of "at least high" among the levels


@dataclass(frozen=True, slots=True)
class Pull:
    """How much each part counts, and how sure the targets are.

    A concern lies between the classes of "at least high", so it pulls weakly
    towards the middle: what must be told apart there is danger and ordinary talk.
    """

    levels: tuple[float, float, float] = (0.5, 1.0, 0.5)
    category: float = 0.3
    smoothing: float = 0.05
    concern: float = 0.35
    concern_weight: float = 0.5


def loss(out: Tensor, examples: Sequence[Example], pull: Pull) -> Tensor:
    """That of each text of a batch: [texts]."""
    weight = torch.tensor([e.weight for e in examples], device=out.device)
    targets, counts = (t.to(out.device) for t in _targets(examples, pull))
    levels = functional.binary_cross_entropy_with_logits(out[:, :LEVELS], targets, reduction="none")
    kinds = torch.tensor(
        [NO_CATEGORY if e.category is None else CATEGORIES.index(e.category) for e in examples],
        device=out.device,
    )
    category = functional.cross_entropy(out[:, LEVELS:], kinds, reduction="none")
    each = (levels * counts).sum(1) + pull.category * category
    return each * weight


def distance(out: Tensor, wanted: Tensor, pull: Pull) -> Tensor:
    """How far each text's logits are from another network's: [texts]."""
    counts = torch.tensor(pull.levels, device=out.device)
    levels = (out[:, :LEVELS] - wanted[:, :LEVELS]) ** 2 * counts
    kinds = functional.kl_div(
        out[:, LEVELS:].log_softmax(1), wanted[:, LEVELS:].log_softmax(1),
        reduction="none", log_target=True,
    )  # fmt: skip
    return _NEAR * levels.sum(1) + pull.category * kinds.sum(1)


def _targets(examples: Sequence[Example], pull: Pull) -> tuple[Tensor, Tensor]:
    levels = torch.tensor([e.level for e in examples])[:, None]
    targets = (levels > torch.arange(LEVELS)).float()
    targets = targets * (1 - 2 * pull.smoothing) + pull.smoothing
    counts = torch.tensor(pull.levels).repeat(len(examples), 1)
    concern = levels[:, 0] == 1
    targets[concern, HIGH] = pull.concern
    counts[concern, HIGH] *= pull.concern_weight
    return targets, counts
