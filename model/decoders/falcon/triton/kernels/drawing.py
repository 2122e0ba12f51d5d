"""What top-k and top-p leave of a row, and a draw of it; one program a row.

The draw is Gumbel's, with philox.py's random numbers: seed, position and token
alone decide them. Masses are added as integers, so no sum depends on an order.
Whatever is kept lies above a threshold; ties at the threshold are kept.

At least `most` tokens reach the `most`-th best of the groups' bests, and those
that do lie in as many groups, which registers hold: a short way for a top-k up
to `most`, and for a top-p that those tokens fill (`from_list`). Anything else
reads the whole row for every two bits of its threshold (`from_row`).
"""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = tl.constexpr(4096)
GROUP = tl.constexpr(32)


@triton.jit
def ordered(v):
    """A number that is larger where the float is, uint32."""
    u = v.to(tl.uint32, bitcast=True)
    return u ^ tl.where(u >> 31 != 0, 0xFFFFFFFF, 0x80000000).to(tl.uint32)


@triton.jit
def packed(v, token):
    """A score and its token in one number, int64; the smaller token wins a tie."""
    return (ordered(v).to(tl.int64) << 31) | (0x7FFFFFFF - token)


@triton.jit
def mass(v, top, floor):
    """A token's share beside the best one's, int64; none below the floor."""
    share = (tl.exp(v - top) * 1099511627776.0).to(tl.int64)
    return tl.where(ordered(v) >= floor, share, 0)


@triton.jit
def reach(key, weight, target):
    """The largest key that entries weighing `target` in all reach, 0 if all weigh less."""
    found, step = tl.zeros((1,), tl.uint32), tl.full((1,), 1 << 30, tl.uint32)
    for _ in range(16):
        a = tl.sum(tl.where(key >= found + step, weight, 0))
        b = tl.sum(tl.where(key >= found + 2 * step, weight, 0))
        c = tl.sum(tl.where(key >= found + 3 * step, weight, 0))
        reached = (a >= target).to(tl.uint32) + (b >= target).to(tl.uint32)
        found += step * (reached + (c >= target).to(tl.uint32))
        step = step >> 2
    return found


@triton.jit
def threshold(z, n, target, top, floor, count: tl.constexpr):
    """The largest key such that tokens at or above it weigh `target`: as many, or their mass."""
    key, step = tl.zeros((1,), tl.uint32), tl.full((1,), 1 << 30, tl.uint32)
    for _ in range(16):
        a = tl.zeros((BLOCK,), tl.int64)
        b, c = a, a
        for start in range(0, n, BLOCK):
            i = start + tl.arange(0, BLOCK)
            v = tl.load(z + i, i < n, float("-inf"))
            w = tl.where(i < n, 1, 0).to(tl.int64) if count else mass(v, top, floor)
            o = ordered(v)
            a += tl.where(o >= key + step, w, 0)
            b += tl.where(o >= key + 2 * step, w, 0)
            c += tl.where(o >= key + 3 * step, w, 0)
        reached = (tl.sum(a) >= target).to(tl.uint32) + (tl.sum(b) >= target).to(tl.uint32)
        key += step * (reached + (tl.sum(c) >= target).to(tl.uint32))
        step = step >> 2
    return key


@triton.jit
def whole(z, n, top, floor):
    """The mass of all tokens at or above the floor."""
    sums = tl.zeros((BLOCK,), tl.int64)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        sums += mass(tl.load(z + i, i < n, float("-inf")), top, floor)
    return tl.sum(sums)


@triton.jit
def gumbel(seed, pos, token):
    """See philox.py."""
    zero = token * 0
    bits, _, _, _ = tl.philox(seed, token, zero + pos, zero, zero)
    uniform = ((bits >> 8).to(tl.float32) + 0.5) * 5.9604644775390625e-8
    return -tl.log(-tl.log(uniform))


@triton.jit
def noisiest(z, n, floor, seed, pos):
    """The token with the largest score and noise of those at or above the floor."""
    best = tl.zeros((BLOCK,), tl.int64)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        v = tl.load(z + i, i < n, float("-inf"))
        kept = (ordered(v) >= floor) & (i < n)
        best = tl.maximum(best, tl.where(kept, packed(v + gumbel(seed, pos, i), i), 0))
    return tl.max(best)


@triton.jit
def wanted(total, top_p):
    """The mass that top-p asks for."""
    return tl.maximum((total.to(tl.float64) * top_p).to(tl.int64), 1)


@triton.jit
def from_row(z, n, top, top_k, top_p, limited, seed, pos):
    """A draw of what top-k and top-p leave, packed."""
    floor = tl.zeros((1,), tl.uint32)
    if limited:
        floor = threshold(z, n, top_k.to(tl.int64), top, floor, True)
    if top_p < 1.0:
        target = wanted(whole(z, n, top, floor), top_p)
        floor = tl.maximum(floor, threshold(z, n, target, top, floor, False))
    return noisiest(z, n, floor, seed, pos)


@triton.jit
def from_list(
    z, n, bests, chosen, words, top, top_k, top_p, limited, seed, pos, most: tl.constexpr,
    room: tl.constexpr,
):  # fmt: skip
    """The same from the `most` groups with the highest bests; 0 if they do not decide it."""
    g = tl.arange(0, room)
    keys = (bests >> 31).to(tl.uint32)
    bound = reach(keys, tl.where(g < words, 1, 0), most)
    near = ((keys >= bound) & (g < words)).to(tl.int32)
    count, at = tl.sum(near), tl.cumsum(near) - 1
    tl.store(chosen + at, g, (near != 0) & (at < most))
    tl.debug_barrier()
    j = tl.arange(0, most * GROUP)
    i = tl.load(chosen + j // GROUP, j // GROUP < count, words) * GROUP + j % GROUP
    v = tl.load(z + i, i < n, float("-inf"))
    floor = bound
    if limited:
        floor = tl.maximum(floor, reach(ordered(v), tl.where(i < n, 1, 0), top_k))
    masses = mass(v, top, floor)
    listed = tl.sum(masses)
    total = listed
    if not limited:
        total = whole(z, n, top, tl.zeros((1,), tl.uint32))
    target = wanted(total, top_p)
    if top_p < 1.0:
        floor = tl.maximum(floor, reach(ordered(v), masses, target))
    kept = (ordered(v) >= floor) & (i < n)
    best = tl.max(tl.where(kept, packed(v + gumbel(seed, pos, i), i), 0))
    return tl.where((count <= most) & (listed >= target), best, 0)
