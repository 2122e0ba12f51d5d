"""The two matrices of a layer for up to 64 rows: NF4 sums and LoRA, in parts of the columns.

    y1[part][row][rows1]   W1·x; the last part adds B·u, u from behind x
    y2[part][row][hidden]  W2·x2
    u2[part][row][64]      A·x2 of dense and of dense_4h_to_h, which the next norm multiplies by B

A program takes `n` pairs of rows and one part. Parts are the same however many
rows of x there are, and are added in order by who reads them: no sum depends on
the batch. Pairs beyond the end read the last tile again and store nothing.

u lies behind x, 64 columns for each set of W1 (query_key_value, dense_h_to_4h):
32 of bank 0, 32 of bank 1, zero in the bank that the row does not use. B of W1
lies in units of 16 ranks in the order of matrix instructions (layout.pack_lora).

Measured on an H200 for Falcon-7B: W1, 56 MB, 34 µs at 1 row (1.6 TB/s) and 63 at 64;
W2 33 and 58 µs.
"""

from __future__ import annotations

import triton
import triton.language as tl

from model.decoders.falcon.triton.kernels.nf4 import nf4_sums, store_sums, two_halves, upper_row

RANK = tl.constexpr(32)
LORA16 = tl.constexpr(544)  # fp16 of a unit of B


@triton.jit
def lora_b(b, pair, mine):
    """B of the pairs' upper and lower rows, fp16 [n, 32]; zero where `mine` is false."""
    k = tl.arange(0, 32)
    at = k % 16 // 4 * 8 + k // 2 % 2 * 4 + k % 2 + k // 16 * LORA16
    where = b + (pair // 16 * 2 * LORA16 + pair % 16 * 32)[:, None] + at[None, :]
    return tl.load(where, mine[:, None], 0.0), tl.load(where + 2, mine[:, None], 0.0)


@triton.jit
def add_lora(upper, lower, b, bank, x, ldx, columns, pair, split, m: tl.constexpr):
    """Sums with B·u of one bank added."""
    k, at = tl.arange(0, 32), tl.arange(0, m)
    for part in tl.static_range(2):
        u = tl.load(x + columns + part * 64 + bank * 32 + k[:, None] + at[None, :] * ldx)
        mine = (upper_row(pair) >= split) == (part == 1)
        bu, bl = lora_b(b, pair, mine)
        upper, lower = tl.dot(bu, u, upper), tl.dot(bl, u, lower)
    return upper, lower


@triton.jit(do_not_specialize=["rows", "part_blocks"])
def first_matrix(
    words, scales, table, x, ldx, b0, b1, in_use, y, rows, blocks, tiles, split,
    part_blocks, n: tl.constexpr, m: tl.constexpr,
):  # fmt: skip
    """W1 for `m` rows, of which `rows` are stored."""
    part = tl.program_id(1)
    pair = tl.program_id(0) * n + tl.arange(0, n)
    near = tl.minimum(pair // 16, tiles - 1) * 16 + pair % 16
    start = part * part_blocks
    end = tl.minimum(start + part_blocks, blocks)
    upper, lower = nf4_sums(words, scales, table, x, ldx, near, start, end, blocks, n, m)
    if end == blocks:
        first, count = tl.load(in_use), tl.load(in_use + 1)
        if first == 0:
            upper, lower = add_lora(upper, lower, b0, 0, x, ldx, blocks * 64, near, split, m)
        if first + count == 2:
            upper, lower = add_lora(upper, lower, b1, 1, x, ldx, blocks * 64, near, split, m)
    store_sums(y + part * rows * tiles * 32, rows, upper, lower, pair, tiles * 32, m)


@triton.jit
def lora_a_sums(a, lda, x, ldx, first, last, m: tl.constexpr):
    """A·x over blocks of 64 columns: fp32 [32, m]; `a` int32 holds neighbouring columns."""
    r, c = tl.arange(0, 32), tl.arange(0, 32)
    a_at = a + r[:, None] * (lda // 2) + first * 32 + c[None, :]
    x_at = x + first * 64 + c[:, None] + tl.arange(0, m)[None, :] * ldx
    sums = tl.zeros((32, m), tl.float32)
    for _ in range(first, last):
        even, odd = two_halves(tl.load(a_at))
        sums = tl.dot(even, tl.load(x_at), sums)
        sums = tl.dot(odd, tl.load(x_at + 32), sums)
        a_at += 32
        x_at += 64
    return sums


@triton.jit
def lora_a(ad, ah, number, bank, x2, ldx, u, rows, start, end, own, mlp, m: tl.constexpr):
    """u of one part and one bank: dense reads the first `own` blocks, dense_4h_to_h the rest."""
    r, at = tl.arange(0, 32), tl.arange(0, m)
    mine = (bank == number) & (at < rows)
    to = u + at[None, :] * 64 + r[:, None]
    middle = tl.minimum(tl.maximum(start, own), end)
    dense = lora_a_sums(ad, own * 64, x2, ldx, start, middle, m)
    tl.store(to, dense, mine[None, :])
    down = lora_a_sums(ah, mlp, x2 + own * 64, ldx, middle - own, end - own, m)
    tl.store(to + 32, down, mine[None, :])


@triton.jit(do_not_specialize=["rows", "part_blocks"], do_not_specialize_on_alignment=["bank"])
def second_matrix(
    words, scales, table, x2, ldx, ad0, ad1, ah0, ah1, in_use, bank, y, u, rows, blocks, tiles, own,
    part_blocks, n: tl.constexpr, m: tl.constexpr,
):  # fmt: skip
    """W2 for `m` rows, of which `rows` are stored; the last program of a part makes its u."""
    part = tl.program_id(1)
    start = part * part_blocks
    end = tl.minimum(start + part_blocks, blocks)
    if tl.program_id(0) * n < tiles * 16:
        pair = tl.program_id(0) * n + tl.arange(0, n)
        near = tl.minimum(pair // 16, tiles - 1) * 16 + pair % 16
        upper, lower = nf4_sums(words, scales, table, x2, ldx, near, start, end, blocks, n, m)
        store_sums(y + part * rows * tiles * 32, rows, upper, lower, pair, tiles * 32, m)
    else:
        first, count = tl.load(in_use), tl.load(in_use + 1)
        at = tl.arange(0, m)
        banks = tl.load(bank + at, at < rows, -1)
        mlp = (blocks - own) * 64
        u += part * rows * 64
        if first == 0:
            lora_a(ad0, ah0, 0, banks, x2, ldx, u, rows, start, end, own, mlp, m)
        if first + count == 2:
            lora_a(ad1, ah1, 1, banks, x2, ldx, u, rows, start, end, own, mlp, m)


@triton.jit(do_not_specialize=["rows", "part_blocks"])
def prompt_lora(
    x2, ldx, ad0, ad1, ah0, ah1, in_use, bank, u, rows, blocks, own,
    part_blocks, m: tl.constexpr,
):  # fmt: skip
    """u2 alone, for a prompt whose W2 is another's matter; `m` rows a program."""
    part, row0 = tl.program_id(0), tl.program_id(1) * m
    start = part * part_blocks
    end = tl.minimum(start + part_blocks, blocks)
    first, count = tl.load(in_use), tl.load(in_use + 1)
    at = row0 + tl.arange(0, m)
    banks = tl.load(bank + at, at < rows, -1)
    mlp, left = (blocks - own) * 64, rows - row0
    u += (part * rows + row0) * 64
    x2 += row0 * ldx
    if first == 0:
        lora_a(ad0, ah0, 0, banks, x2, ldx, u, left, start, end, own, mlp, m)
    if first + count == 2:
        lora_a(ad1, ah1, 1, banks, x2, ldx, u, left, start, end, own, mlp, m)
