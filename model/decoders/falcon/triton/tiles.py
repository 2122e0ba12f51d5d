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


# Few rows of x leave room for more programs; many pay for reading x once more for each program.
# All have four warps or more: on Hopper fewer get another matrix instruction, and a row's last bits
# must not depend on how many rows are with it.
MATRIX = {8: Tile(64, 4, 5), 16: Tile(64, 4, 5), 32: Tile(128, 8, 3), 64: Tile(128, 8, 3)}


@dataclass(frozen=True, slots=True)
class Tiles:
    """Units of a part of W1 and W2, and the tiles of both and of the head by width."""

    first_part: int = 18
    second_part: int = 18
    first: dict[int, Tile] = field(default_factory=lambda: dict(MATRIX))
    second: dict[int, Tile] = field(default_factory=lambda: dict(MATRIX))
    head: dict[int, Tile] = field(default_factory=lambda: dict.fromkeys(WIDTHS, Tile()))

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
