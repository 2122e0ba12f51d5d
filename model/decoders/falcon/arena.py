"""Device memory of a path with kernels of its own, made once: graphs keep its addresses.

KV of every slot and one more for rows that only pad; two banks; activations for
as many rows as a prefill may have; what rows say of themselves (`control`). A
path adds what only its own kernels need. Knows sizes; knows nothing of order.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch

from model.decoders.falcon import banks
from model.decoders.falcon.plain import rope
from model.decoders.falcon.shape import HEAD, TILE
from model.decoders.falcon.weights import Weights

WIDTH = 64  # most rows of a step
SPAN = 512  # tokens of history that one block attends to
GROUP = 16  # query heads that one block attends for


class DrawRecord(ctypes.Structure):
    """How a slot draws, as kernels read it."""

    _fields_ = [
        *((name, ctypes.c_float) for name in ("temperature", "top_p", "penalty")),
        ("top_k", ctypes.c_int),
        ("seed", ctypes.c_ulonglong),
    ]


@dataclass(frozen=True, slots=True)
class Control:
    """Views of one int32 tensor, `whole`: of each row, and of each row that draws."""

    whole: torch.Tensor
    slot: torch.Tensor
    pos: torch.Tensor
    token: torch.Tensor
    bank: torch.Tensor
    pick: torch.Tensor
    pick_slot: torch.Tensor
    pick_pos: torch.Tensor


@dataclass(frozen=True, slots=True)
class Parts:
    """Of how many partial sums the results of W1, W2 and the head are made for a step's rows."""

    first: int
    second: int
    head: int


@dataclass
class Arena:
    """Memory for `slots` sequences of `context` tokens and `rows` rows at once."""

    weights: Weights
    slots: int
    context: int
    rows: int
    parts: Parts

    def __post_init__(self) -> None:
        shape, half, whole = self.weights.shape, torch.float16, torch.int32
        make, self.device = self.make, self.weights.w1.device
        self.keys = make(shape.layers, self.slots + 1, self.context, HEAD, dtype=half)
        self.values = make(shape.layers, self.slots + 1, HEAD, self.context, dtype=half)
        self.banks = [banks.empty(shape, self.device) for _ in range(2)]
        self.in_use = torch.tensor([0, 1], dtype=whole, device=self.device)
        self.rope = rope(shape.rope_base, self.context, self.device).contiguous()
        self._control = make(4 * self.rows + 3 * WIDTH, dtype=whole)
        self.r = make(self.rows, shape.hidden)
        self.x = make(self.rows, shape.hidden + 128, dtype=half)
        self.x2 = make(self.rows, shape.cols2, dtype=half)
        self.last = make(WIDTH, shape.hidden, dtype=half)
        self.y1 = make(max(self.parts.first * WIDTH, self.rows) * shape.rows1)
        self.y2 = make(max(self.parts.second * WIDTH, self.rows) * shape.hidden)
        self.vocabulary = self.weights.head.shape[0] * TILE
        self.logits = make(self.parts.head * WIDTH * self.vocabulary)
        self.groups, self.spans = -(-shape.heads // GROUP), -(-self.context // SPAN)
        self.partial = make(self.rows * self.groups * self.spans * (GROUP * HEAD + 32))
        self.draws = make(self.slots + 1, ctypes.sizeof(DrawRecord), dtype=torch.uint8)
        self.seen = make(self.slots + 1, -(-shape.vocabulary // 32), dtype=whole)
        self.newest = make(self.slots + 1, dtype=whole)
        self.tokens = make(WIDTH, dtype=whole)
        self.matrix = make(0, dtype=half)
        if self.rows > WIDTH:  # one of the two matrices of a layer, for a long prompt
            most = max(shape.rows1 * (shape.hidden + 128), shape.hidden * shape.cols2)
            self.matrix = make(most, dtype=half)

    def make(self, *size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Zeros beside the weights."""
        return torch.zeros(size, dtype=dtype, device=self.weights.w1.device)

    def control(self, rows: int) -> Control:
        """What `rows` rows say of themselves: the same memory for the same number of rows."""
        fields, picks = self._control[: 4 * rows].view(4, rows), min(rows, WIDTH)
        whole = self._control[: 4 * rows + 3 * picks]
        return Control(whole, *fields.unbind(), *whole[4 * rows :].view(3, picks).unbind())

    def matrices(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Room for a layer's W1, with LoRA's columns behind it, or its W2, in 16 bits."""
        shape, (rows, columns) = self.weights.shape, (self.weights.shape.rows1, self.x.shape[1])
        one = self.matrix[: rows * columns].view(rows, columns)
        return one, self.matrix[: shape.hidden * shape.cols2].view(shape.hidden, shape.cols2)

    def memory_bytes(self) -> int:
        """Bytes of weights, adapters, KV and activations."""
        held = [value for value in vars(self).values() if isinstance(value, torch.Tensor)]
        adapters = sum(bank.memory_bytes() for bank in self.banks)
        return self.weights.memory_bytes() + adapters + sum(tensor.nbytes for tensor in held)


def product(x: torch.Tensor, matrix: torch.Tensor, out: torch.Tensor) -> None:
    """x times a matrix [rows, columns] of 16 bits, in fp32, to the head of a flat `out`."""
    to = out[: len(x) * len(matrix)].view(len(x), len(matrix))
    if x.is_cuda:
        torch.mm(x, matrix.T, out_dtype=torch.float32, out=to)
    else:
        torch.mm(x.float(), matrix.T.float(), out=to)
