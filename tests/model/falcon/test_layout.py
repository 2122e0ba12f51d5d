from __future__ import annotations

import torch

from model.decoders.falcon import layout

ROWS, COLUMNS = 96, 192


def random_matrix() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 16, (ROWS, COLUMNS), generator=generator).to(torch.uint8)
    scales = torch.rand(ROWS, COLUMNS // 64, generator=generator).half() + 0.1
    return codes, scales


def test_units_give_back_every_code_and_scale() -> None:
    codes, scales = random_matrix()
    units = layout.pack_units(codes, scales)
    assert units.shape == (ROWS // 32, COLUMNS // 64, layout.UNIT)
    again, scale_again = layout.unpack_units(units)
    assert torch.equal(again, codes)
    assert torch.equal(scale_again, scales)


def test_dequantised_units_are_the_nf4_values_times_their_blocks_scale() -> None:
    codes, scales = random_matrix()
    weight = layout.dequantise(layout.pack_units(codes, scales))
    for row, column in ((0, 0), (37, 63), (95, 191), (64, 64)):
        value = layout.NF4[int(codes[row, column])] * float(scales[row, column // 64])
        assert abs(float(weight[row, column]) - value) < 1e-6


def test_a_lane_finds_its_operand_where_the_matrix_instruction_wants_it() -> None:
    """Lane (g, t) of half m, step s: bytes are rows g and g+8 of columns 16t+4s+{0,1},{2,3}."""
    codes, scales = random_matrix()
    units = layout.pack_units(codes, scales)
    tile, block, m, g, t, s = 1, 2, 1, 5, 3, 2
    at = 512 * m + 16 * (4 * g + t) + 4 * s
    word = int.from_bytes(bytes(units[tile, block, at : at + 4].tolist()), "little")
    row, column = 32 * tile + 16 * m + g, 64 * block + 16 * t + 4 * s
    wanted = [(row, column), (row + 8, column), (row, column + 2), (row + 8, column + 2)]
    for i, (r, c) in enumerate(wanted):
        byte = (word >> (8 * i)) & 255
        assert byte == int(codes[r, c]) | int(codes[r, c + 1]) << 4


def test_lora_and_dense_units_give_back_every_value() -> None:
    generator = torch.Generator().manual_seed(1)
    b = torch.randn(ROWS, layout.LORA_RANK, generator=generator).half()
    assert torch.equal(layout.unpack_lora(layout.pack_lora(b)), b)
    weight = torch.randn(ROWS, COLUMNS, generator=generator).half()
    assert torch.equal(layout.unpack_dense(layout.pack_dense(weight)), weight)
