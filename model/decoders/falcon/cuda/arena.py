"""What the compiled kernels keep on the device beside what every path keeps.

Knows sizes; knows nothing of order.
"""

from __future__ import annotations

import torch

from model.decoders.falcon import arena
from model.decoders.falcon.arena import WIDTH, Parts
from model.decoders.falcon.cuda import jobs
from model.decoders.falcon.cuda.native import SECOND
from model.decoders.falcon.shape import TILE
from model.decoders.falcon.weights import Weights


class Arena(arena.Arena):
    """Memory for `slots` sequences of `context` tokens and `rows` rows at once."""

    def __init__(self, weights: Weights, slots: int, context: int, rows: int) -> None:
        shape, vocabulary = weights.shape, weights.head.shape[0] * TILE
        head = jobs.head(shape, vocabulary, WIDTH).parts
        parts = Parts(jobs.first(shape).parts, jobs.second(shape).parts, head)
        super().__init__(weights, slots, context, rows, parts)
        self.ud = self.make(rows * self.groups * 32)
        self.uh = self.make(shape.mlp // 256 * rows * 32)
        self.counter = self.make(rows * self.groups, dtype=torch.int32)
        self.ready = self.make(SECOND + 1, dtype=torch.int32)
