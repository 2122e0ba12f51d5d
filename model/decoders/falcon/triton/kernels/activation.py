"""What W2 reads: attention, its spans joined, then the MLP's activation.

    x2[row][hidden + 4·hidden]   fp16, the 32 even columns of each 64 first

The first programs of a row take a group of 16 heads each, the others 1,024
columns of gelu(sums of W1).

Measured on an H200 for Falcon-7B with attention.py at 512 tokens of history: 17 µs at
1 row and 37 at 64, latency.
"""

from __future__ import annotations

import triton
import triton.language as tl

from model.decoders.falcon.triton.kernels.attention import GROUP, HEAD, RECORD, SPAN
from model.decoders.falcon.triton.kernels.norm import add_parts, fit

CHUNK = tl.constexpr(1024)


@triton.jit
def joined(partial, used, column):
    """Σ over spans of p·v, divided by Σ p, at these columns of the group's 1,024."""
    head = column // HEAD
    top = tl.full((CHUNK,), -1e30, tl.float32)
    for span in range(used):
        top = tl.maximum(top, tl.load(partial + span * RECORD + 16 * 64 + head))
    value, total = tl.zeros((CHUNK,), tl.float32), tl.zeros((CHUNK,), tl.float32)
    for span in range(used):
        at = partial + span * RECORD
        weight = tl.exp(tl.load(at + 16 * 64 + head) - top)
        value += weight * tl.load(at + column)
        total += weight * tl.load(at + 16 * 64 + 16 + head)
    return value / total


@triton.jit(do_not_specialize=["rows"], do_not_specialize_on_alignment=["positions"])
def activate(
    y, partial, positions, x2, ldx, rows, rows1, hidden, parts: tl.constexpr, groups, spans
):
    """x2 of one row in 1,024 columns a program."""
    row, piece = tl.program_id(1), tl.program_id(0)
    place = tl.arange(0, CHUNK)
    column = place // 64 * 64 + place % 32 * 2 + place // 32 % 2
    to = x2 + row * ldx + place
    if piece < groups:
        used = tl.load(positions + row) // SPAN + 1
        v = joined(partial + (row * groups + piece) * spans * RECORD, used, column)
        at = piece * GROUP * HEAD
        tl.store(to + at, fit(v), at + place < hidden)
    else:
        at = (piece - groups) * CHUNK
        there = at + place < 4 * hidden
        from_ = y + row * rows1 + hidden + 2 * HEAD + at + column
        v = add_parts(tl.zeros((CHUNK,), tl.float32), from_, there, parts, rows * rows1)
        gelu = 0.5 * v * (1.0 + tl.erf(v * 0.7071067811865476))
        tl.store(to + hidden + at, fit(gelu), there)
