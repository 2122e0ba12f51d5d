"""Drawing a token from a row of logits; one program a row.

In order: repetition penalty, temperature, top-k, top-p, draw. The draw is
Gumbel's, with philox.py's random numbers: seed, position and token alone decide
them. Masses are added as integers, so no sum depends on an order. Whatever is
kept lies above a threshold, which is found by bisection, two bits a reading of
the row; ties at the threshold are kept.

    draws[slot]  float32 temperature, top-p, penalty; int32 top-k; int64 seed
    seen[slot]   a bit for each token that the penalty touches

A row with a logit that is not finite draws -1.
"""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = tl.constexpr(4096)
ONE = tl.constexpr(1 << 40)  # the mass of the best token


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
def prepare(z, seen, n, penalty, temperature):
    """Write the row penalised and scaled; the best token, and how many logits are not finite."""
    best = tl.zeros((BLOCK,), tl.int64)
    odd = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        there = i < n
        v = tl.load(z + i, there, 0.0)
        odd += ((v.to(tl.int32, bitcast=True) & 0x7F800000) == 0x7F800000).to(tl.int32)
        written = (tl.load(seen + i // 32, there, 0) >> (i % 32)) & 1
        v = tl.where(written != 0, tl.where(v > 0, v / penalty, v * penalty), v) / temperature
        tl.store(z + i, v, there)
        best = tl.maximum(best, tl.where(there, packed(v, i), 0))
    return tl.max(best), tl.sum(odd)


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
def drawn(z, n, top, top_k, top_p, seed, pos):
    """A draw of what top-k and top-p leave, packed."""
    floor = tl.zeros((1,), tl.uint32)
    if (top_k > 0) & (top_k < n):
        floor = threshold(z, n, top_k.to(tl.int64), top, floor, True)
    if top_p < 1.0:
        target = (whole(z, n, top, floor).to(tl.float64) * top_p).to(tl.int64)
        floor = tl.maximum(floor, threshold(z, n, target, top, floor, False))
    return noisiest(z, n, floor, seed, pos)


@triton.jit
def sample(
    logits, slots, positions, floats, integers, seeds, seen, newest, tokens, stride, n, words
):  # fmt: skip
    """One row; its slot's newest token and seen tokens follow."""
    row = tl.program_id(0)
    slot, pos = tl.load(slots + row), tl.load(positions + row)
    temperature, top_p = tl.load(floats + slot * 6), tl.load(floats + slot * 6 + 1)
    penalty, top_k = tl.load(floats + slot * 6 + 2), tl.load(integers + slot * 6 + 3)
    z, seen = logits + row * stride, seen + slot * words
    greedy = temperature <= 0.0
    best, odd = prepare(z, seen, n, penalty, tl.where(greedy, 1.0, temperature))
    if (odd == 0) & (not greedy) & (top_k != 1):
        tl.debug_barrier()
        first = 0x7FFFFFFF - (best & 0x7FFFFFFF)
        top = tl.load(z + first)
        best = drawn(z, n, top, top_k, top_p, tl.load(seeds + slot * 3 + 2), pos)
    token = (0x7FFFFFFF - (best & 0x7FFFFFFF)).to(tl.int32)
    token = tl.where(odd > 0, -1, token)
    tl.store(tokens + row, token)
    tl.store(newest + slot, tl.maximum(token, 0))
    if token >= 0:
        at = seen + token // 32
        tl.store(at, tl.load(at) | (1 << (token % 32)))
