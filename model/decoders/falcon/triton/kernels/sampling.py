"""Drawing a token from a row of logits: penalty, temperature, top-k, top-p, draw.

`prepare` takes 32 groups of 32 tokens a program and leaves each group's best;
`sample` takes a row (drawing.py).

    draws[slot]        float32 temperature, top-p, penalty; int32 top-k; int64 seed
    seen[slot]         a bit for each token that the penalty touches: a word a group
    bests[row][group]  a group's best score and token, or ODD

A row with a logit that is not finite draws -1.

Measured on an H200 for Falcon-7B with drawing.py and the last LayerNorm: 62 µs at 1 row
and 151 at 64, beside the head.
"""

from __future__ import annotations

import triton
import triton.language as tl

from model.decoders.falcon.triton.kernels.drawing import GROUP, from_list, from_row, packed

PIECE = tl.constexpr(32)  # groups of a program
ODD = tl.constexpr((1 << 63) - 1)  # some logit of the group is not finite


@triton.jit(do_not_specialize_on_alignment=["slots"])
def prepare(logits, slots, floats, seen, bests, stride, n, words):
    """Some groups of a row: their logits penalised and scaled, and the best of each."""
    row = tl.program_id(1)
    slot = tl.load(slots + row)
    temperature, penalty = tl.load(floats + slot * 6), tl.load(floats + slot * 6 + 2)
    temperature = tl.where(temperature <= 0.0, 1.0, temperature)
    group, bit = tl.program_id(0) * PIECE + tl.arange(0, PIECE), tl.arange(0, GROUP)
    i = group[:, None] * GROUP + bit[None, :]
    z, there = logits + row * stride + i, i < n
    v = tl.load(z, there, 0.0)
    odd = (v.to(tl.int32, bitcast=True) & 0x7F800000) == 0x7F800000
    written = tl.load(seen + slot * words + group, group < words, 0)[:, None] >> bit[None, :] & 1
    v = tl.where(written != 0, tl.where(v > 0, v / penalty, v * penalty), v) / temperature
    tl.store(z, v, there)
    best = tl.where(odd, ODD, tl.where(there, packed(v, i), 0))
    tl.store(bests + row * words + group, tl.max(best, axis=1), group < words)


@triton.jit(do_not_specialize_on_alignment=["slots", "positions"])
def sample(
    logits, slots, positions, floats, integers, seeds, seen, bests, chosen, newest, tokens, stride,
    n, words, most: tl.constexpr, room: tl.constexpr,
):  # fmt: skip
    """One row; its slot's newest token and seen tokens follow."""
    row, g = tl.program_id(0), tl.arange(0, room)
    slot, pos = tl.load(slots + row), tl.load(positions + row)
    temperature, top_p = tl.load(floats + slot * 6), tl.load(floats + slot * 6 + 1)
    top_k, seed = tl.load(integers + slot * 6 + 3), tl.load(seeds + slot * 3 + 2)
    groups = tl.load(bests + row * words + g, g < words, 0)
    best = tl.max(groups)
    odd = best == ODD
    if (not odd) & (temperature > 0.0) & (top_k != 1):
        z, limited = logits + row * stride, (top_k > 0) & (top_k < n)
        top = tl.load(z + (0x7FFFFFFF - (best & 0x7FFFFFFF)))
        best = tl.full((), 0, tl.int64)
        if (limited & (top_k <= most)) | ((not limited) & (top_p < 1.0)):
            list_ = chosen + row * most
            best = from_list(
                z, n, groups, list_, words, top, top_k, top_p, limited, seed, pos, most, room
            )
        if best == 0:
            best = from_row(z, n, top, top_k, top_p, limited, seed, pos)
    token = tl.where(odd, -1, (0x7FFFFFFF - (best & 0x7FFFFFFF)).to(tl.int32))
    tl.store(tokens + row, token)
    tl.store(newest + slot, tl.maximum(token, 0))
    if token >= 0:
        at = seen + slot * words + token // 32
        tl.store(at, tl.load(at) | (1 << (token % 32)))
