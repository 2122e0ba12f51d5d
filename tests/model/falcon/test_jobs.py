"""How work is shared among thread blocks: all of it, once, and in the promised order."""

from __future__ import annotations

import pytest

from model.decoders.falcon.arena import WIDTH
from model.decoders.falcon.cuda import jobs
from model.decoders.falcon.cuda.native import ACTIVATION, ATTENTION, MatrixArgs
from model.decoders.falcon.shape import TILE, Shape

FALCON = Shape(hidden=4544, heads=71, layers=32, vocabulary=65024)
PROCESSORS, GROUPS, SPANS = 132, 5, 4


def plans(shape: Shape) -> list[jobs.Plan]:
    return [jobs.first(shape), jobs.second(shape), jobs.head(shape, shape.vocabulary, 64)]


def test_every_unit_of_a_matrix_belongs_to_exactly_one_job() -> None:
    sizes = [(FALCON.rows1, FALCON.hidden), (FALCON.hidden, FALCON.cols2)]
    for plan, (rows, columns) in zip(plans(FALCON), sizes, strict=False):
        seen = set()
        for job in plan.jobs:
            for tile in range(job.tile0, job.tile0 + job.tiles):
                for unit in range(job.k0, job.k0 + job.blocks):
                    assert (tile, unit) not in seen
                    seen.add((tile, unit))
        assert len(seen) == rows // TILE * columns // 64


@pytest.mark.parametrize("processors", [4, 24, 114, 122, PROCESSORS])
@pytest.mark.parametrize("warps", [0, jobs.WARPS])
def test_every_block_has_a_job_and_every_job_a_block(processors: int, warps: int) -> None:
    for plan in plans(FALCON):
        args = MatrixArgs()
        plan.write(args, processors, warps, late=20)
        blocks = args.block0[args.jobs]
        assert blocks == max(processors, len(plan.jobs))
        for i in range(args.jobs):
            mine = range(args.block0[i], args.block0[i + 1])
            assert mine
            assert all(args.job_of[block] == i for block in mine)


@pytest.mark.parametrize("processors", [122, PROCESSORS])
def test_with_few_rows_no_warp_of_a_large_gpu_takes_two_tiles(processors: int) -> None:
    for plan in plans(FALCON)[:2]:
        args = MatrixArgs()
        plan.write(args, processors, jobs.WARPS, late=20)
        for i in range(args.jobs):
            blocks = args.block0[i + 1] - args.block0[i]
            assert args.job[i].tiles <= blocks * jobs.WARPS


def test_a_part_waits_for_all_that_it_reads_and_attentions_parts_are_last() -> None:
    plan, attention = jobs.second(FALCON), FALCON.hidden // 64
    for job in plan.jobs:
        units = range(job.k0, job.k0 + job.blocks)
        assert bool(job.needs >> ATTENTION & 1) == any(unit < attention for unit in units)
        assert bool(job.needs >> ACTIVATION & 1) == any(unit >= attention for unit in units)
    late = [job.needs >> ATTENTION & 1 for job in plan.jobs]
    assert late == sorted(late)
    assert 0 < sum(late) < len(late)


@pytest.mark.parametrize("rows", [1, 2, 4, 8, 16, 32, 64, 512])
def test_what_is_reserved_has_room_for_every_block_of_attention(rows: int) -> None:
    shares = jobs.shares(rows, GROUPS, SPANS)
    blocks = rows * -(-SPANS // shares.spans) * -(-GROUPS // shares.groups)
    assert shares.reserved in {0, blocks}
    assert (shares.reserved > 0) == (rows <= jobs.FEW)
    # More would leave some warps two tiles, which costs more than attention gains.
    assert (PROCESSORS - shares.reserved) * jobs.WARPS > FALCON.rows1 // TILE * 4
    assert rows <= WIDTH or shares.groups == GROUPS
