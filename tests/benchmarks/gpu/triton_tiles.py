"""How the Triton matrices should be cut: µs and GB/s of each way, the best first.

    python tests/benchmarks/gpu/triton_tiles.py [--matrix W1] [--rows 1 8 64]

Falcon-7B's shape, random weights, one launch a layer so that nothing is read
twice from a cache. The winners belong in model/decoders/falcon/triton/tiles.py,
if for a matrix and a part `bits`, a checksum of one row's sums, is the same at all rows.
Kernels are compiled beforehand, in as many processes as there are cores.
"""


# mypy: ignore-errors

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import torch

from model.decoders.falcon import weights
from model.decoders.falcon.shape import Shape
from model.decoders.falcon.triton.arena import Arena
from model.decoders.falcon.triton.layers import Layers
from model.decoders.falcon.triton.tiles import WIDTHS, Tile, Tiles, width
from tests.benchmarks.gpu.steps import microseconds

LAYERS = 6
SHOWN = 10
PARTS = {"W1": (12, 18, 24, 36, 71), "W2": (15, 18, 24, 36, 71), "head": (0,)}


def shape(layers: int) -> Shape:
    """One layer is for compiling, where a small head does, for timing it must be the whole one."""
    return Shape(4544, 71, layers, vocabulary=65024 if layers > 1 else 2048)


@cache
def arena(layers: int) -> Arena:
    """Room for the most parts that are tried."""
    made = weights.random(shape(layers), torch.device("cuda"))
    held = Arena(made, 1, 64, 64, Tiles(first_part=12, second_part=15))
    generator = torch.Generator("cuda").manual_seed(0)
    for x in (held.x, held.x2, held.last):
        x.copy_(torch.randn(x.shape, generator=generator, device="cuda"))
    return held


def launches(name: str, rows: int, tile: Tile, part: int, layers: int) -> Callable[[], None]:
    """One launch a layer, or of the head as many."""
    same = dict.fromkeys(WIDTHS, tile)
    tiles = Tiles(part or 24, part or 24, same, same, same)
    held = arena(layers)
    held.parts = tiles.parts(shape(layers))
    made = Layers(held, tiles)
    first, second = made.matrices(rows)

    def run() -> None:
        for layer in range(layers):
            if name == "head":
                made.head(rows)
            else:
                (first if name == "W1" else second)(layer)

    return run


def compiled(job: tuple[str, int, Tile]) -> str:
    """Compile in another process; why not, if not."""
    name, rows, tile = job
    try:
        launches(name, rows, tile, PARTS[name][-1], 1)()
        torch.cuda.synchronize()
    except Exception as error:  # too large a tile fails in many ways
        return f"{type(error).__name__}: {str(error)[:80]}"
    return ""


def timed(run: Callable[[], None]) -> float:
    """µs a launch."""
    run()
    torch.cuda.synchronize()
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        run()
    return microseconds(graph.replay, 7) / LAYERS


def first_row(name: str, of: Shape) -> int:
    """A checksum of the first row's sums, which must not depend on tile or rows."""
    held = arena(LAYERS)
    out, size = {
        "W1": (held.y1, of.rows1),
        "W2": (held.y2, of.hidden),
        "head": (held.logits, of.vocabulary),
    }[name]
    return zlib.crc32(out[:size].cpu().numpy().tobytes())


def candidates(options: argparse.Namespace) -> list[Tile]:
    return [
        Tile(*values) for values in itertools.product(options.pairs, options.warps, options.stages)
    ]


def report(name: str, rows: int, tiles: list[Tile]) -> None:
    made = shape(LAYERS)
    size = {
        "W1": made.rows1 * made.hidden * 17 // 32,
        "W2": made.hidden * made.cols2 * 17 // 32,
        "head": 2 * made.vocabulary * made.hidden,
    }[name]
    found = []
    for tile, part in itertools.product(tiles, PARTS[name]):
        took = timed(launches(name, rows, tile, part, LAYERS))
        found.append((took, tile, part, first_row(name, made)))
    found.sort(key=lambda each: each[0])
    for took, tile, part, bits in found[:SHOWN]:
        print(
            f"| {name} | {rows} | {tile.n} | {tile.warps} | {tile.stages} | "
            f"{part} | {bits:08x} | {took:.1f} | {size / took / 1e3:.0f} |",
            flush=True,
        )
    best = {}
    for took, _, part, _ in found:
        best.setdefault(part, took)
    print(f"best by part: {', '.join(f'{p}: {t:.1f}' for p, t in sorted(best.items()))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--matrix", nargs="+", default=["W1", "W2", "head"])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--pairs", nargs="+", type=int, default=[32, 64, 128])
    parser.add_argument("--warps", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--stages", nargs="+", type=int, default=[3, 5])
    options = parser.parse_args()
    jobs = [
        (name, rows, tile)
        for name in options.matrix
        for rows in sorted({width(rows) for rows in options.rows})
        for tile in candidates(options)
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(14, os.cpu_count() or 1), mp_context=spawn) as pool:
        why = dict(zip(jobs, pool.map(compiled, jobs, chunksize=1), strict=True))
    for job, reason in why.items():
        if reason:
            print(f"left out {job}: {reason}", flush=True)
    print("| matrix | rows | pairs | warps | stages | part | bits | µs | GB/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.matrix:
        for rows in options.rows:
            good = [t for t in candidates(options) if not why[name, width(rows), t]]
            report(name, rows, good)


if __name__ == "__main__":
    main()
