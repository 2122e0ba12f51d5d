"""Between two layers: r += sums of W2 + B2·u2, then x = LayerNorm(r) and u = A1·x.

A row's mean is known only when all its columns are, so there are two kernels.
`gather` takes 16 rows and `chunk` columns a program and leaves pieces:

    stats[chunk][row][2]   Σ r and Σ r²
    u1[chunk][row][64]     Σ r·γA

`normalise` adds the pieces in order, for one row and some columns a program:

    x[row][columns]        (r − mean) · rs · γ + β, fp16, the 32 even columns of each 64 first
    x[row][columns + 128]  u = rs · (Σ r·γA − mean · ΣγA) + ΣβA, 32 for each bank of each set

γA, ΣγA and ΣβA come with the bank (banks.py). r goes into its product as two
fp16, so that nothing of it is lost. `embed` begins a step.

Measured on an H200 for Falcon-7B: both kernels 11 µs at 1 row and 16 at 64, latency.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def fit(v):
    """What fp16 cannot hold becomes its largest number; what is not a number stays so."""
    return tl.where(v > 65504.0, 65504.0, tl.where(v < -65504.0, -65504.0, v)).to(tl.float16)


@triton.jit
def add_parts(v, at, there, parts: tl.constexpr, stride):
    """v + the partial sums at `at`, in order; unrolled, so that all are on their way at once."""
    for _ in tl.static_range(parts):
        v += tl.load(at, there, 0.0)
        at += stride
    return v


@triton.jit
def add_rows(v, at, there, parts: tl.constexpr, stride):
    """The same one part after the other: 16 rows of all parts at once would not fit registers."""
    for _ in range(parts):
        v += tl.load(at, there, 0.0)
        at += stride
    return v


@triton.jit
def lora_out(v, u, b2, bank, number, hidden, column, there):
    """v + B2·u2 for the rows of one bank; `b2` is [8][hidden][8]."""
    k = tl.arange(0, 64)
    at = b2 + (k // 8)[:, None] * hidden * 8 + column[None, :] * 8 + (k % 8)[:, None]
    b = tl.load(at, there[None, :], 0.0)
    return tl.dot(tl.where((bank == number)[:, None], u, 0.0).to(tl.float16), b, v)


@triton.jit
def folded(v, ga, hidden, column, there):
    """Σ v·γA over these columns: fp32 [16, 64]."""
    j = tl.arange(0, 64)
    a = tl.load(ga + j[None, :] * hidden + column[:, None], there[:, None], 0.0)
    high = fit(v)
    low = (v - high.to(tl.float32)).to(tl.float16)
    return tl.dot(low, a, tl.dot(high, a))


@triton.jit(do_not_specialize=["rows", "all_rows"], do_not_specialize_on_alignment=["bank", "pick"])
def gather(
    r, sums, parts: tl.constexpr, u2, parts_u: tl.constexpr, b0, b1, ga0, ga1, in_use, bank, pick,
    stats, u1, rows, all_rows, hidden, has_sums: tl.constexpr, has_lora: tl.constexpr,
    picks: tl.constexpr, chunk: tl.constexpr,
):  # fmt: skip
    """r complete, and the pieces that `normalise` needs; `picks`: of some rows only."""
    piece = tl.program_id(0)
    row = tl.program_id(1) * 16 + tl.arange(0, 16)
    column = piece * chunk + tl.arange(0, chunk)
    live, there = row < rows, column < hidden
    place = tl.load(pick + row, live, 0) if picks else row
    number = tl.load(bank + place, live, -1)
    first, count = tl.load(in_use), tl.load(in_use + 1)
    both = live[:, None] & there[None, :]
    at = place[:, None] * hidden + column[None, :]
    v = tl.load(r + at, both, 0.0)
    if has_sums:
        total = tl.zeros((16, chunk), tl.float32)
        total = add_rows(total, sums + at, both, parts, all_rows * hidden)
        u_at = u2 + place[:, None] * 64 + tl.arange(0, 64)[None, :]
        u = tl.zeros((16, 64), tl.float32)
        u = fit(add_rows(u, u_at, live[:, None], parts_u, all_rows * 64)).to(tl.float32)
        if first == 0:
            total = lora_out(total, u, b0, number, 0, hidden, column, there)
        if first + count == 2:
            total = lora_out(total, u, b1, number, 1, hidden, column, there)
        v += total
        tl.store(r + at, v, both)
    to = piece * rows + row
    tl.store(stats + to * 2, tl.sum(v, axis=1), live)
    tl.store(stats + to * 2 + 1, tl.sum(v * v, axis=1), live)
    if has_lora:
        u_to = u1 + to[:, None] * 64 + tl.arange(0, 64)[None, :]
        if first == 0:
            mine = (live & (number == 0))[:, None]
            tl.store(u_to, folded(v, ga0, hidden, column, there), mine)
        if first + count == 2:
            mine = (live & (number == 1))[:, None]
            tl.store(u_to, folded(v, ga1, hidden, column, there), mine)


@triton.jit
def moments(stats, row, rows, pieces, hidden, epsilon, room: tl.constexpr):
    """Mean of a row and one over its deviation."""
    piece = tl.arange(0, room)
    at = stats + (piece * rows + row) * 2
    mean = tl.sum(tl.load(at, piece < pieces, 0.0)) / hidden
    square = tl.sum(tl.load(at + 1, piece < pieces, 0.0)) / hidden
    return mean, tl.rsqrt(tl.maximum(square - mean * mean, 0.0) + epsilon)


@triton.jit
def write_u(x, u1, s0, s1, t0, t1, number, mean, scale, row, rows, pieces, room: tl.constexpr):
    """u of a row, for its bank; zero for the other."""
    j, piece = tl.arange(0, 64), tl.arange(0, room)
    at = u1 + (piece[:, None] * rows + row) * 64 + j[None, :]
    raw = tl.sum(tl.load(at, (piece < pieces)[:, None], 0.0), axis=0)
    s = tl.where(number == 0, tl.load(s0 + j), tl.load(s1 + j))
    t = tl.where(number == 0, tl.load(t0 + j), tl.load(t1 + j))
    u = scale * (raw - mean * s) + t
    to = x + j // 32 * 64 + j % 32
    tl.store(to + number * 32, fit(u))
    tl.store(to + 32 - number * 32, tl.zeros((64,), tl.float16))


@triton.jit(do_not_specialize=["rows"], do_not_specialize_on_alignment=["bank", "pick"])
def normalise(
    r, gamma, beta, stats, u1, s0, s1, t0, t1, bank, pick, x, ldx, rows, pieces, hidden, epsilon,
    has_lora: tl.constexpr, picks: tl.constexpr, chunk: tl.constexpr, room: tl.constexpr,
):  # fmt: skip
    """x of one row in `chunk` columns a program; the first program of a row makes u."""
    row = tl.program_id(1)
    place = tl.load(pick + row) if picks else row
    mean, scale = moments(stats, row, rows, pieces, hidden, epsilon, room)
    to = tl.program_id(0) * chunk + tl.arange(0, chunk)
    column = to // 64 * 64 + to % 32 * 2 + to // 32 % 2
    there = to < hidden
    v = (tl.load(r + place * hidden + column, there, 0.0) - mean) * scale
    v = v * tl.load(gamma + column, there, 0.0) + tl.load(beta + column, there, 0.0)
    tl.store(x + row * ldx + to, fit(v), there)
    if has_lora:  # noqa: SIM102 - decided when compiling, the other one when running
        if tl.program_id(0) == 0:
            number = tl.load(bank + place)
            write_u(
                x + row * ldx + hidden, u1, s0, s1, t0, t1, number, mean, scale, row, rows, pieces,
                room,
            )  # fmt: skip


@triton.jit(do_not_specialize_on_alignment=["token", "slot"])
def embed(table, token, slot, newest, r, hidden, chunk: tl.constexpr):
    """A row's token, or its slot's newest one, from dense units (layout.pack_dense) to r."""
    row = tl.program_id(1)
    given = tl.load(token + row)
    token = tl.where(given >= 0, given, tl.load(newest + tl.load(slot + row)))
    k = tl.program_id(0) * chunk + tl.arange(0, chunk)
    unit = table + (token // 32 * (hidden // 64) + k // 64) * 2048
    place = k // 4 % 4 * 512 + token // 16 % 2 * 256 + token % 8 * 32 + k // 16 % 4 * 8
    inner = k // 2 % 2 * 4 + token // 8 % 2 * 2 + k % 2
    tl.store(
        r + row * hidden + k, tl.load(unit + place + inner, k < hidden).to(tl.float32), k < hidden
    )
