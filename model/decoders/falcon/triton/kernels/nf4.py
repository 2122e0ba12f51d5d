"""From NF4 units to products: how codes become numbers, and a matrix's sums over some columns.

A unit of 32 rows and 64 columns (layout.py), seen as 16-bit words, is 16 pairs
of rows by 32 words: pair p is rows 16·(p/8) + p%8 and eight below, word c is
columns 2c and 2c+1, and a word holds four codes:

    bits  0-3  upper row, even column      4-7  upper row, odd column
          8-11 lower row, even column    12-15  lower row, odd column

So x is kept with its columns sorted: of each 64, the 32 even ones come first.
The unit's scales follow its words, the two rows of a pair in one 32-bit word.
A block of `n` pairs is the left operand of tl.dot and x the right one: a step's
few rows then fill the narrow side of the matrix instruction.

Four codes become numbers by byte permutation, sixteen entries held in eight
registers; Triton's interpreter, which knows no assembler, reads a table.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from model.decoders.falcon.layout import NF4

# Words and scales of a unit, in their own sizes.
UNIT16 = tl.constexpr(544)
UNIT32 = tl.constexpr(272)
SCALES32 = tl.constexpr(256)


def _look_up(select: str, half: str, even: str, odd: str) -> str:
    """PTX: the codes a, b of `select` for even and odd columns, as pairs of fp16."""
    raw = torch.tensor(NF4, dtype=torch.float16).view(torch.int16).tolist()

    def byte(shift: int, to: str) -> str:
        packed = bytes(v >> shift & 255 for v in raw)
        w = [int.from_bytes(packed[i : i + 4], "little") for i in range(0, 16, 4)]
        return f"""
        prmt.b32 a, {w[0]:#010x}, {w[1]:#010x}, {select};
        prmt.b32 b, {w[2]:#010x}, {w[3]:#010x}, {select};
        prmt.b32 {to}, a, b, {half};"""

    return f"""{byte(0, "l")}{byte(8, "h")}
        prmt.b32 {even}, l, h, 0x6240;
        prmt.b32 {odd}, l, h, 0x7351;"""


# Two words of a thread at once: q is their upper rows' codes, then their lower rows'. The low three
# bits of a code choose in each half of the table, the highest one between the halves.
DECODE = tl.constexpr(
    f"""{{
        .reg .b32 q, m, s, a, b, l, h;
        prmt.b32 q, $4, $4, 0x3120;
        and.b32 m, q, 0x77777777;
        shr.u32 s, q, 1;
        lop3.b32 s, s, 0x44444444, 0x32103210, 0xEA;{_look_up("m", "s", "$0", "$1")}
        shr.u32 m, m, 16;
        shr.u32 s, s, 16;{_look_up("m", "s", "$2", "$3")}
    }}"""
)
COMPILED = tl.constexpr(not triton.knobs.runtime.interpret)


@triton.jit
def numbers(words, table):
    """fp16 of a word's four codes: upper row even, upper odd, lower even, lower odd."""
    if COMPILED:
        half = tl.float16
        found = tl.inline_asm_elementwise(
            DECODE,
            "=r,=r,=r,=r,r",
            [words],
            dtype=(half, half, half, half),
            is_pure=True,
            pack=2,
        )
    else:
        w = words.to(tl.int32)
        a, b = tl.load(table + (w & 15)), tl.load(table + (w >> 4 & 15))
        c, d = tl.load(table + (w >> 8 & 15)), tl.load(table + (w >> 12 & 15))
        found = (a, b, c, d)
    return found


@triton.jit
def two_halves(word):
    """The two fp16 of a 32-bit word, the lower one first."""
    low = (word & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True)
    return low, (word >> 16).to(tl.int16).to(tl.float16, bitcast=True)


@triton.jit
def upper_row(pair):
    """The first of a pair's two rows; the other is eight below."""
    return pair // 16 * 32 + pair // 8 % 2 * 16 + pair % 8


@triton.jit
def nf4_sums(
    words, scales, table, x, ldx, pair, first, last, blocks, n: tl.constexpr, m: tl.constexpr
):
    """W·x over units `first` to `last`: fp32 [n, m] of the pairs' upper rows and of their lower.

    `words` int16 and `scales` int32 are the same units; `x` fp16 has m rows at least.
    """
    c = tl.arange(0, 32)
    unit = pair // 16 * blocks + first
    word_at = words + unit[:, None] * UNIT16 + pair[:, None] % 16 * 32 + c[None, :]
    scale_at = scales + unit * UNIT32 + SCALES32 + pair % 8 * 2 + pair // 8 % 2
    x_at = x + first * 64 + c[:, None] + tl.arange(0, m)[None, :] * ldx
    upper, lower = tl.zeros((n, m), tl.float32), tl.zeros((n, m), tl.float32)
    # Scales feed no matrix instruction, so the compiler would fetch them only when they are needed.
    scale = tl.load(scale_at)
    for i in range(first, last):
        word, even, odd = tl.load(word_at), tl.load(x_at), tl.load(x_at + 32)
        word_at += UNIT16
        scale_at += UNIT32
        x_at += 64
        coming = tl.load(scale_at, mask=i + 1 < last, other=0)
        ue, uo, le, lo = numbers(word, table)
        su, sl = two_halves(scale)
        upper += su.to(tl.float32)[:, None] * tl.dot(uo, odd, tl.dot(ue, even))
        lower += sl.to(tl.float32)[:, None] * tl.dot(lo, odd, tl.dot(le, even))
        scale = coming
    return upper, lower


@triton.jit
def store_sums(out, rows, upper, lower, pair, out_rows, m: tl.constexpr):
    """Sums [n, m] to out[row of x][row of W]."""
    at = tl.arange(0, m)
    row = upper_row(pair)
    to = out + at[None, :] * out_rows + row[:, None]
    there = (row < out_rows)[:, None] & (at < rows)[None, :]
    tl.store(to, upper, there)
    tl.store(to + 8, lower, there)
