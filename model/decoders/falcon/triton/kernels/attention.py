"""Attention of one row and 16 query heads over 512 tokens of its slot.

    y1[part][row][rows1]               queries, one key, one value, as sums of W1
    keys[slot][context][64], values[slot][64][context]          fp16
    partial[row][group][span][16·64 + 32]  Σ p·v, then the heads' tops and Σ p

The 16 heads are the rows of tl.dot, tokens come in blocks of 64, and elements
d and d + 32 of a head lie in two halves, since that is how positions turn them.
A row's own key and value take their places in registers, whoever writes them to
memory; `store_kv` writes those of a prompt before any of its rows attends.
Spans are joined in activation.py.

Measured together with activation.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

from model.decoders.falcon.triton.kernels.norm import add_parts, fit

HEAD = tl.constexpr(64)
GROUP = tl.constexpr(16)
SPAN = tl.constexpr(512)
TOKENS = tl.constexpr(64)
RECORD = tl.constexpr(16 * 64 + 32)
REGISTERS = 168  # of a thread: three programs of four warps then fit on a processor


@triton.jit
def turned(y, d, there, rope, pos, parts: tl.constexpr, stride):
    """Elements d and d + 32 of a head, turned by the row's position."""
    zero = tl.zeros_like(d).to(tl.float32)
    lo = add_parts(zero, y + d, there, parts, stride)
    hi = add_parts(zero, y + d + 32, there, parts, stride)
    at = rope + pos * 64 + d % 32 * 2
    cos, sin = tl.load(at), tl.load(at + 1)
    return lo * cos - hi * sin, hi * cos + lo * sin


@triton.jit
def own_key_value(y, rope, pos, parts: tl.constexpr, stride):
    """A row's key in two halves and its value, fp16; `y` is its key's place."""
    d, e = tl.arange(0, 32), tl.arange(0, 64)
    lo, hi = turned(y, d, d < 32, rope, pos, parts, stride)
    value = add_parts(tl.zeros((64,), tl.float32), y + 64 + e, e < 64, parts, stride)
    return fit(lo), fit(hi), fit(value)


@triton.jit
def write_key_value(keys, values, slot, pos, context, lo, hi, value):
    """To their places in the slot."""
    d, e = tl.arange(0, 32), tl.arange(0, 64)
    at = keys + (slot * context + pos) * HEAD + d
    tl.store(at, lo)
    tl.store(at + 32, hi)
    tl.store(values + (slot * HEAD + e) * context + pos, value)


@triton.jit(do_not_specialize=["rows"])
def store_kv(
    y, keys, values, slots, positions, rope, rows, rows1, hidden, parts: tl.constexpr, context
):
    """A row's key and value."""
    row = tl.program_id(0)
    slot, pos = tl.load(slots + row), tl.load(positions + row)
    lo, hi, value = own_key_value(y + row * rows1 + hidden, rope, pos, parts, rows * rows1)
    write_key_value(keys, values, slot, pos, context, lo, hi, value)


@triton.jit(do_not_specialize=["rows"], do_not_specialize_on_alignment=["slots", "positions"])
def attend(
    y, keys, values, slots, positions, rope, partial, rows, rows1, hidden, heads,
    parts: tl.constexpr, context, groups, spans,
):  # fmt: skip
    """One row, one group of heads and one span a program."""
    row, group, span = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    slot, pos = tl.load(slots + row), tl.load(positions + row)
    if span * SPAN > pos:
        return
    h, d, e, t = tl.arange(0, 16), tl.arange(0, 32), tl.arange(0, 64), tl.arange(0, TOKENS)
    stride = rows * rows1
    y += row * rows1
    own_lo, own_hi, own_value = own_key_value(y + hidden, rope, pos, parts, stride)
    end = tl.minimum(pos + 1, span * SPAN + SPAN)
    if (group == 0) & (end == pos + 1):
        write_key_value(keys, values, slot, pos, context, own_lo, own_hi, own_value)
    head = group * GROUP + h
    at = head[:, None] * HEAD + d[None, :]
    lo, hi = turned(y, at, (head < heads)[:, None], rope, pos, parts, stride)
    lo, hi = fit(lo * 0.125), fit(hi * 0.125)
    top = tl.full((16,), -1e30, tl.float32)
    total = tl.zeros((16,), tl.float32)
    out = tl.zeros((16, 64), tl.float32)
    for start in range(span * SPAN, end, TOKENS):
        token = start + t
        near = tl.minimum(token, context - 1)
        own = token == pos
        k_at = keys + (slot * context + near[None, :]) * HEAD + d[:, None]
        k_lo = tl.where(own[None, :], own_lo[:, None], tl.load(k_at))
        k_hi = tl.where(own[None, :], own_hi[:, None], tl.load(k_at + 32))
        score = tl.dot(hi, k_hi, tl.dot(lo, k_lo))
        score = tl.where((token <= pos)[None, :], score, -1e30)
        above = tl.maximum(top, tl.max(score, axis=1))
        p = tl.exp(score - above[:, None]).to(tl.float16)
        shrink = tl.exp(top - above)
        v_at = values + (slot * HEAD + e[None, :]) * context + near[:, None]
        value = tl.where((token < pos)[:, None], tl.load(v_at), 0.0)
        value = tl.where(own[:, None], own_value[None, :], value)
        total = total * shrink + tl.sum(p.to(tl.float32), axis=1)
        out = tl.dot(p, value, out * shrink[:, None])
        top = above
    to = partial + ((row * groups + group) * spans + span) * RECORD
    tl.store(to + h[:, None] * HEAD + e[None, :], out)
    tl.store(to + 16 * 64 + h, top)
    tl.store(to + 16 * 64 + 16 + h, total)
