"""How a matrix is shared among thread blocks (matrix.cu): parts of columns, ranges of tiles.

Parts are the same whatever the batch is, so that every sum has one order.
Knows sizes only.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.decoders.falcon.arena import WIDTH
from model.decoders.falcon.cuda.native import ACTIVATION, ATTENTION, Job, MatrixArgs
from model.decoders.falcon.shape import TILE, Shape

PART = 18  # units of 64 columns that a part has at most
WARPS = 24  # of a block of the matrix kernel with up to NARROW rows
NARROW = 8
# With so few rows attention has processors of its own, which the matrices leave it, so that it
# holds the history before W1 ends; with more it takes whichever W1 leaves first.
FEW = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """Jobs of a matrix and the number of parts that its result is in."""

    jobs: tuple[Job, ...]
    parts: int

    def write(self, args: MatrixArgs, processors: int, warps: int, late: int = 0) -> None:
        """Give each job blocks of its own, `processors` in all if they suffice.

        Jobs that need attention begin `late` units of work after the others. `warps` of a block
        take a tile each, and another round costs half of it again; 0: rounds are not counted.
        """
        blocks = [1] * len(self.jobs)  # a job needs a block, however small it is

        def end(i: int) -> float:
            job, n = self.jobs[i], blocks[i]
            units = job.blocks + 2 * job.sets
            rounds = -(-job.tiles // (n * warps)) if warps else 1
            begin = late if job.needs >> ATTENTION & 1 else 0
            took = units * (job.tiles / n + (rounds - 1) * warps / 2)
            return float(begin + took)

        for _ in range(processors - len(blocks)):
            blocks[max(range(len(blocks)), key=end)] += 1
        args.jobs = len(self.jobs)
        for i, job in enumerate(self.jobs):
            args.job[i] = job
            args.block0[i + 1] = args.block0[i] + blocks[i]
            for block in range(args.block0[i], args.block0[i + 1]):
                args.job_of[block] = i


@dataclass(frozen=True, slots=True)
class Shares:
    """What a block of attention takes: groups of heads, and spans of 512 tokens."""

    groups: int
    spans: int
    reserved: int  # processors that the matrices leave to attention


def shares(rows: int, groups: int, spans: int) -> Shares:
    """How attention is shared among blocks; its sums do not depend on it."""
    if rows > WIDTH:  # a long prompt: a row's history is read once for all heads
        return Shares(groups, 1, 0)
    if rows > FEW:
        # About as many blocks as processors: each has one to itself.
        return Shares(min(groups, 1 if rows <= 16 else 2 if rows <= 32 else 3), 1, 0)
    each = FEW // rows  # every block must find room on what is reserved
    return Shares(1, -(-spans // each), rows * each * groups)


def first(shape: Shape) -> Plan:
    """W1: u of query_key_value, or of dense_h_to_4h, follows the last part."""
    tiles, split = shape.rows1 // TILE, shape.qkv // TILE
    parts = _parts(shape.hidden // 64, 1)
    jobs = [Job(k, n, 0, tiles, 0, 0, i) for i, (k, n) in enumerate(parts[:-1])]
    k, n = parts[-1]
    jobs += [Job(k, n, 0, split, 0, 1, len(jobs)), Job(k, n, split, tiles - split, 1, 1, len(jobs))]
    return Plan(tuple(jobs), len(parts))


def second(shape: Shape) -> Plan:
    """W2, without LoRA: its B is added with the parts, in LayerNorm's kernel."""
    attention = shape.hidden // 64
    plan = _plain(_parts(shape.cols2 // 64, 0), shape.hidden // TILE)
    for job in plan.jobs:
        job.needs = (job.k0 < attention) << ATTENTION
        job.needs |= (job.k0 + job.blocks > attention) << ACTIVATION
    # Attention's come last: blocks that start late, where it still runs, are then theirs.
    return Plan(tuple(sorted(plan.jobs, key=lambda job: job.needs >> ATTENTION & 1)), plan.parts)


def head(shape: Shape, vocabulary: int, rows: int) -> Plan:
    """The dense head: one part for up to 8 rows, which adds up in the order of the parts."""
    blocks, tiles = shape.hidden // 64, vocabulary // TILE
    parts = [(0, blocks)] if rows <= 8 else _parts(blocks, 0)
    return _plain(parts, tiles)


def _plain(parts: list[tuple[int, int]], tiles: int) -> Plan:
    return Plan(tuple(Job(k, n, 0, tiles, 0, 0, i) for i, (k, n) in enumerate(parts)), len(parts))


def _parts(blocks: int, sets: int) -> list[tuple[int, int]]:
    """First unit and number of units of each part."""
    parts = [(k, min(PART, blocks - k)) for k in range(0, blocks, PART)]
    if parts[-1][1] + sets > PART:
        raise ValueError("the last part has no room for LoRA's u")
    return parts
