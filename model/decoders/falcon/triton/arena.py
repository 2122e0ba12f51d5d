"""What the Triton kernels keep on the device beside what every path keeps.

Knows sizes; knows nothing of order.
"""

from __future__ import annotations

import torch

from model.decoders.falcon import arena
from model.decoders.falcon.arena import WIDTH
from model.decoders.falcon.layout import NF4
from model.decoders.falcon.triton.tiles import Tiles
from model.decoders.falcon.weights import Weights

CHUNK = 128  # columns of a piece of a norm's sums
LISTED = 64  # groups of tokens that a draw looks at closely


class Arena(arena.Arena):
    """Memory for `slots` sequences of `context` tokens and `rows` rows at once."""

    def __init__(self, weights: Weights, slots: int, context: int, rows: int, tiles: Tiles) -> None:
        shape = weights.shape
        super().__init__(weights, slots, context, rows, tiles.parts(shape))
        self.pieces = -(-shape.hidden // CHUNK)
        self.stats = self.make(self.pieces * rows * 2)
        self.u1 = self.make(self.pieces * rows * 64)
        self.u2 = self.make(self.parts.second * rows * 64)
        self.bests = self.make(WIDTH, self.seen.shape[1], dtype=torch.int64)
        self.chosen = self.make(WIDTH, LISTED, dtype=torch.int32)
        self.table = torch.tensor(NF4, dtype=torch.float16, device=self.device)
