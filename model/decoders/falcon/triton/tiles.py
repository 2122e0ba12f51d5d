"""How the matrices are cut among programs: measured sizes, by rows of x.

Parts of the columns are the same for every number of rows, so that a sum has
one order. Knows sizes only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model.decoders.falcon.arena import Parts
from model.decoders.falcon.shape import BLOCK, Shape

WIDTHS = (8, 16, 32, 64)  # rows of x that a program multiplies, some of them for nothing


@dataclass(frozen=True, slots=True)
class Tile:
    """A program's pairs of rows, its warps, and how many loads of a loop are under way."""

    n: int = 64
    warps: int = 4
    stages: int = 3


# With few rows more programs are faster; with many each should read x for more of the matrix. On
# Hopper up to 8 rows get mma.sync and more get wgmma; steps.py looks whether their bits are equal.
MATRIX = {8: Tile(32, 2), 16: Tile(), 32: Tile(128, 8), 64: Tile(128, 8)}
HEAD = {8: Tile(stages=4), 16: Tile(), 32: Tile(), 64: Tile()}


@dataclass(frozen=True, slots=True)
class Tiles:
    """Units of a part of W1 and W2, and the tiles of both and of the head by width."""

    first_part: int = 18
    second_part: int = 18
    first: dict[int, Tile] = field(default_factory=lambda: dict(MATRIX))
    second: dict[int, Tile] = field(default_factory=lambda: dict(MATRIX))
    head: dict[int, Tile] = field(default_factory=lambda: dict(HEAD))

    def parts(self, shape: Shape) -> Parts:
        """Of how many partial sums the results are made."""
        return Parts(
            -(-shape.hidden // BLOCK // self.first_part),
            -(-shape.cols2 // BLOCK // self.second_part),
            1,
        )


def width(rows: int) -> int:
    """The kernel for so many rows."""
    return next(w for w in WIDTHS if rows <= w)
