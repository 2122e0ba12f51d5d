"""How a matrix is shared among thread blocks (matrix.cu): parts of columns, ranges of tiles.

Parts are the same whatever the batch is, so that every sum has one order.
Knows sizes only.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.decoders.falcon.cuda.native import Job, MatrixArgs
from model.decoders.falcon.shape import TILE, Shape

PART = 18  # units of 64 columns that a part has at most


@dataclass(frozen=True, slots=True)
class Plan:
    """Jobs of a matrix and the number of parts that its result is in."""

    jobs: tuple[tuple[int, ...], ...]  # fields of Job
    parts: int

    def write(self, args: MatrixArgs, processors: int) -> None:
        """Give each job a share of `processors` blocks, as large as its work."""
        work = [(j[1] + 2 * j[5]) * j[3] for j in self.jobs]
        whole, done = sum(work), 0
        args.jobs = len(self.jobs)
        for i, job in enumerate(self.jobs):
            args.job[i] = Job(*job)
            done += work[i]
            least = args.block0[i] + 1  # a job needs a block, however small it is
            args.block0[i + 1] = max(least, round(processors * done / whole))


def first(shape: Shape) -> Plan:
    """W1: u of query_key_value, or of dense_h_to_4h, follows the last part."""
    tiles, split = shape.rows1 // TILE, shape.qkv // TILE
    parts = _parts(shape.hidden // 64, 1)
    jobs = [(k, n, 0, tiles, 0, 0, i) for i, (k, n) in enumerate(parts[:-1])]
    k, n = parts[-1]
    jobs += [(k, n, 0, split, 0, 1, len(jobs)), (k, n, split, tiles - split, 1, 1, len(jobs))]
    return Plan(tuple(jobs), len(parts))


def second(shape: Shape) -> Plan:
    """W2, without LoRA: its B is added with the parts, in LayerNorm's kernel."""
    return _plain(_parts(shape.cols2 // 64, 0), shape.hidden // TILE)


def head(shape: Shape, vocabulary: int, rows: int) -> Plan:
    """The dense head: one part for up to 8 rows, which adds up in the order of the parts."""
    blocks, tiles = shape.hidden // 64, vocabulary // TILE
    parts = [(0, blocks)] if rows <= 8 else _parts(blocks, 0)
    return _plain(parts, tiles)


def _plain(parts: list[tuple[int, int]], tiles: int) -> Plan:
    return Plan(tuple((k, n, 0, tiles, 0, 0, i) for i, (k, n) in enumerate(parts)), len(parts))


def _parts(blocks: int, sets: int) -> list[tuple[int, int]]:
    """First unit and number of units of each part."""
    parts = [(k, min(PART, blocks - k)) for k in range(0, blocks, PART)]
    if parts[-1][1] + sets > PART:
        raise ValueError("the last part has no room for LoRA's u")
    return parts
