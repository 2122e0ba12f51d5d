"""The head's fp16 matrix, and NF4 back to fp16 for long prompts.

A dense unit of 32 rows and 64 columns (layout.pack_dense), seen as 64-bit words,
is 4 steps by 16 pairs of rows by 8 words: word i of step s holds columns
16·(i/2) + 4s + 2·(i%2) and the next of both rows of its pair, the upper first.

    logits[row][vocabulary]
    matrix[row][columns]    NF4 values · scale, the 32 even columns of each 64 first, as x has them;
                            W1 is followed by 128 columns of B, as u follows x

Measured on an H200 for Falcon-7B: the head, 591 MB, 273 µs at 1 row (2.2 TB/s) and 304
at 64; W1 to fp16 and its product 251 µs for 512 rows.
"""

from __future__ import annotations

import triton
import triton.language as tl

from model.decoders.falcon.triton.kernels.matrix import lora_b
from model.decoders.falcon.triton.kernels.nf4 import (
    SCALES32,
    UNIT16,
    UNIT32,
    numbers,
    store_sums,
    two_halves,
    upper_row,
)

UNIT64 = tl.constexpr(512)


@triton.jit(do_not_specialize=["rows"])
def head_matrix(words, x, ldx, logits, rows, blocks, tiles, n: tl.constexpr, m: tl.constexpr):
    """Logits of `m` rows, of which `rows` are stored; `n` pairs of tokens a program."""
    pair = tl.program_id(0) * n + tl.arange(0, n)
    near = tl.minimum(pair // 16, tiles - 1) * 16 + pair % 16
    c = tl.arange(0, 32)
    in_unit = c // 2 % 4 * 128 + c // 8 * 2 + c % 2
    word_at = words + (near // 16 * blocks * UNIT64 + near % 16 * 8)[:, None] + in_unit[None, :]
    x_at = x + c[:, None] + tl.arange(0, m)[None, :] * ldx
    upper, lower = tl.zeros((n, m), tl.float32), tl.zeros((n, m), tl.float32)
    for _ in range(blocks):
        word, even, odd = tl.load(word_at), tl.load(x_at), tl.load(x_at + 32)
        word_at += UNIT64
        x_at += 64
        ue, uo = two_halves(word.to(tl.int32))
        le, lo = two_halves((word >> 32).to(tl.int32))
        upper = tl.dot(uo, odd, tl.dot(ue, even, upper))
        lower = tl.dot(lo, odd, tl.dot(le, even, lower))
    store_sums(logits, rows, upper, lower, pair, tiles * 32, m)


@triton.jit
def dequantise(words, scales, table, out, ldo, blocks, wide: tl.constexpr):
    """A tile of NF4 units to fp16, `wide` units a program."""
    tile = tl.program_id(0)
    pair, c = tl.arange(0, 16), tl.program_id(1) * wide * 32 + tl.arange(0, wide * 32)
    unit = tile * blocks + c // 32
    there = (c < blocks * 32)[None, :]
    word = tl.load(words + unit[None, :] * UNIT16 + pair[:, None] * 32 + c[None, :] % 32, there, 0)
    place = SCALES32 + pair % 8 * 2 + pair // 8
    su, sl = two_halves(tl.load(scales + unit[None, :] * UNIT32 + place[:, None], there, 0))
    ue, uo, le, lo = numbers(word, table)
    to = out + (tile * 32 + upper_row(pair))[:, None] * ldo + (c // 32 * 64 + c % 32)[None, :]
    below = to + 8 * ldo
    tl.store(to, ue * su, there)
    tl.store(to + 32, uo * su, there)
    tl.store(below, le * sl, there)
    tl.store(below + 32, lo * sl, there)


@triton.jit
def lora_columns(b0, b1, in_use, out, ldo, columns, split, n: tl.constexpr):
    """B of both banks behind W1, zero in the set that a row does not belong to."""
    pair, k = tl.program_id(0) * n + tl.arange(0, n), tl.arange(0, 32)
    first, count = tl.load(in_use), tl.load(in_use + 1)
    to = out + upper_row(pair)[:, None] * ldo + columns + k[None, :]
    for part in tl.static_range(2):
        mine = (upper_row(pair) >= split) == (part == 1)
        upper, lower = lora_b(b0, pair, mine & (first == 0))
        tl.store(to + part * 64, upper)
        tl.store(to + part * 64 + 8 * ldo, lower)
        upper, lower = lora_b(b1, pair, mine & (first + count == 2))
        tl.store(to + part * 64 + 32, upper)
        tl.store(to + part * 64 + 32 + 8 * ldo, lower)
