"""Device memory of the compiled path, all of it made once: graphs keep its addresses.

KV of every slot and one more for rows that only pad; two banks; activations for
as many rows as a prefill may have; what rows say of themselves (`control`).
Knows sizes; knows nothing of order.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch

from model.decoders.falcon import banks
from model.decoders.falcon.cuda import jobs
from model.decoders.falcon.plain import rope
from model.decoders.falcon.shape import HEAD
from model.decoders.falcon.weights import Weights

WIDTH = 64  # most rows of a step
SPAN = 512  # tokens of history that one block attends to
GROUP = 16  # query heads that one block attends for


class DrawRecord(ctypes.Structure):
    """How a slot draws (sampling.cu)."""

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


@dataclass
class Arena:
    """Memory for `slots` sequences of `context` tokens and `rows` rows at once."""

    weights: Weights
    slots: int
    context: int
    rows: int

    def __post_init__(self) -> None:
        shape, device = self.weights.shape, self.weights.w1.device

        def make(*size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(size, dtype=dtype, device=device)

        half, whole = torch.float16, torch.int32
        self.keys = make(shape.layers, self.slots + 1, self.context, HEAD, dtype=half)
        self.values = make(shape.layers, self.slots + 1, HEAD, self.context, dtype=half)
        self.banks = [banks.empty(shape, device) for _ in range(2)]
        self.in_use = torch.tensor([0, 1], dtype=whole, device=device)
        self.rope = rope(shape.rope_base, self.context, device).contiguous()
        self._control = make(4 * self.rows + 3 * WIDTH, dtype=whole)
        self.r = make(self.rows, shape.hidden)
        self.x = make(self.rows, shape.hidden + 128, dtype=half)
        self.x2 = make(self.rows, shape.cols2, dtype=half)
        self.last = make(WIDTH, shape.hidden, dtype=half)
        parts1, parts2 = jobs.first(shape).parts, jobs.second(shape).parts
        self.y1 = make(max(parts1 * WIDTH, self.rows) * shape.rows1)
        self.y2 = make(max(parts2 * WIDTH, self.rows) * shape.hidden)
        self.vocabulary = self.weights.head.shape[0] * 32
        parts = jobs.head(shape, self.vocabulary, WIDTH).parts
        self.logits = make(parts * WIDTH * self.vocabulary)
        groups, spans = -(-shape.heads // GROUP), -(-self.context // SPAN)
        self.spans = spans
        self.partial = make(self.rows * groups * spans * (GROUP * HEAD + 32))
        self.ud = make(self.rows * groups * 32)
        self.uh = make(shape.mlp // 256 * self.rows * 32)
        self.counter = make(self.rows * groups, dtype=whole)
        self.draws = make(self.slots + 1, ctypes.sizeof(DrawRecord), dtype=torch.uint8)
        self.seen = make(self.slots + 1, -(-shape.vocabulary // 32), dtype=whole)
        self.newest = make(self.slots + 1, dtype=whole)
        self.tokens = make(WIDTH, dtype=whole)
        self.matrix = make(0, dtype=half)
        if self.rows > WIDTH:  # one of the two matrices of a layer, for a long prompt
            most = max(shape.rows1 * (shape.hidden + 128), shape.hidden * shape.cols2)
            self.matrix = make(most, dtype=half)

    def control(self, rows: int) -> Control:
        """What `rows` rows say of themselves: the same memory for the same number of rows."""
        fields, picks = self._control[: 4 * rows].view(4, rows), min(rows, WIDTH)
        whole = self._control[: 4 * rows + 3 * picks]
        return Control(whole, *fields.unbind(), *whole[4 * rows :].view(3, picks).unbind())

    def clear(self) -> None:
        """After a step that broke off: no counter may stand half way."""
        self.counter.zero_()

    def memory_bytes(self) -> int:
        """Bytes of weights, adapters, KV and activations."""
        held = [value for value in vars(self).values() if isinstance(value, torch.Tensor)]
        adapters = sum(bank.memory_bytes() for bank in self.banks)
        return self.weights.memory_bytes() + adapters + sum(tensor.nbytes for tensor in held)
