"""How weights lie in memory: units that one warp can feed to its matrix instruction.

A matrix [rows, columns] is cut into tiles of 32 rows, and a tile into units of
64 columns. A unit of NF4 is 1,088 bytes: 1,024 of codes, then its 32 scales in
fp16. Inside a unit codes lie in the order in which `mma.m16n8k16` wants its A
operand: lane (g, t) of 32 finds its 16 bytes of each half tile together. A byte
holds two neighbouring columns (low half first) and columns are permuted so that
a lane needs 16 consecutive ones: its x is two 16-byte loads.

    row    = 32·tile + 16·m + 8·h + g        m, h in {0, 1}   g in 0..7
    column = 64·block + 16·t + 4·s + 2·j + p t, s in 0..3     j, p in {0, 1}

Knows bits and order; knows nothing of Falcon, kernels or quantisation.
"""

from __future__ import annotations

import torch

from model.decoders.falcon.shape import BLOCK, TILE

CODES = TILE * BLOCK // 2
UNIT = CODES + 2 * TILE
LORA_RANK = 32
LORA_UNIT = TILE * 16 * 2
DENSE_UNIT = TILE * BLOCK * 2

# The sixteen values of NF4 (Dettmers et al., 2023), as bitsandbytes holds them.
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


def pack_units(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Codes [rows, columns] uint8 of 0..15 and scales fp16 [rows, columns/64] to units.

    Returns uint8 [rows/32, columns/64, 1088].
    """
    rows, columns = codes.shape
    tiles, blocks = rows // TILE, columns // BLOCK
    # tile, m, h, g, block, t, s, j, p
    split = codes.reshape(tiles, 2, 2, 8, blocks, 4, 4, 2, 2)
    pairs = split[..., 0] | (split[..., 1] << 4)
    # tile, block, m, g, t, s, and the four bytes of a word: j, h
    words = pairs.permute(0, 4, 1, 3, 5, 6, 7, 2).reshape(tiles, blocks, CODES // 4, 4)
    units = codes.new_empty(tiles, blocks, UNIT)
    units[..., :CODES] = words.reshape(tiles, blocks, CODES)
    # A lane reads the scales of its rows g, g+8, g+16, g+24 with one load.
    mine = scales.reshape(tiles, 2, 2, 8, blocks).permute(0, 4, 3, 1, 2).contiguous()
    units[..., CODES:] = mine.view(torch.uint8).reshape(tiles, blocks, 2 * TILE)
    return units


def unpack_units(units: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The inverse of `pack_units`: codes uint8 [rows, columns], scales fp16 [rows, blocks]."""
    tiles, blocks, _ = units.shape
    words = units[..., :CODES].reshape(tiles, blocks, CODES // 4, 4)
    pairs = words.reshape(tiles, blocks, 2, 8, 4, 4, 2, 2).permute(0, 2, 7, 3, 1, 4, 5, 6)
    codes = torch.stack((pairs & 15, pairs >> 4), dim=-1)
    scales = units[..., CODES:].contiguous().view(torch.float16)
    scales = scales.reshape(tiles, blocks, 8, 2, 2).permute(0, 3, 4, 2, 1)
    return codes.reshape(tiles * TILE, -1), scales.reshape(tiles * TILE, blocks)


def dequantise(units: torch.Tensor) -> torch.Tensor:
    """The fp32 matrix [rows, columns] that units stand for."""
    codes, scales = unpack_units(units)
    table = torch.tensor(NF4, device=units.device)
    blocks = table[codes.long()].reshape(*scales.shape, BLOCK) * scales.float()[..., None]
    return blocks.reshape(codes.shape)


def pack_lora(b: torch.Tensor) -> torch.Tensor:
    """LoRA's B, fp16 [rows, 32], to two raw A operands a tile: uint8 [rows/32, 2, 1024]."""
    tiles = b.shape[0] // TILE
    # tile, m, h, g, half of the rank, t, j, p
    split = b.reshape(tiles, 2, 2, 8, 2, 4, 2, 2)
    ordered = split.permute(0, 4, 1, 3, 5, 6, 2, 7).contiguous()
    return ordered.view(torch.uint8).reshape(tiles, 2, LORA_UNIT)


def unpack_lora(units: torch.Tensor) -> torch.Tensor:
    """The inverse of `pack_lora`: fp16 [rows, 32]."""
    tiles = units.shape[0]
    raw = units.contiguous().view(torch.float16).reshape(tiles, 2, 2, 8, 4, 2, 2, 2)
    return raw.permute(0, 2, 6, 3, 1, 4, 5, 7).reshape(tiles * TILE, LORA_RANK)


def pack_dense(weight: torch.Tensor) -> torch.Tensor:
    """A fp16 matrix [rows, columns] to raw A operands: uint8 [rows/32, columns/64, 4096]."""
    rows, columns = weight.shape
    tiles, blocks = rows // TILE, columns // BLOCK
    split = weight.reshape(tiles, 2, 2, 8, blocks, 4, 4, 2, 2)
    ordered = split.permute(0, 4, 6, 1, 3, 5, 7, 2, 8).contiguous()
    return ordered.view(torch.uint8).reshape(tiles, blocks, DENSE_UNIT)


def unpack_dense(units: torch.Tensor) -> torch.Tensor:
    """The inverse of `pack_dense`: fp16 [rows, columns]."""
    tiles, blocks, _ = units.shape
    raw = units.contiguous().view(torch.float16).reshape(tiles, blocks, 4, 2, 8, 4, 2, 2, 2)
    return raw.permute(0, 3, 7, 4, 1, 5, 2, 6, 8).reshape(tiles * TILE, blocks * BLOCK)
