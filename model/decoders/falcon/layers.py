"""One pass of rows through the model, whatever the kernels: the order of its parts.

    embed ─ [norm ─ W1 ─ mix ─ W2] × layers

A path with kernels of its own (cuda/layers.py, triton/layers.py) says how each
part is launched, and how tokens are drawn from what the last one left. Knows
order; knows nothing of kernels, graphs or slots' owners.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from model.decoders.falcon.arena import WIDTH, Arena

Matrices = tuple[Callable[[int], None], Callable[[int], None]]


class Layers(ABC):
    """Launches over an arena; the same arguments always give the same launches."""

    arena: Arena

    def body(self, rows: int, *, shared: bool) -> None:
        """Rows 0..rows-1 of `control` through all layers; `r` and the last sums hold the result.

        `shared`: several rows may belong to one slot.
        """
        self.embed(rows)
        first, second = self.matrices(rows)
        for layer in range(self.arena.weights.shape.layers):
            self.norm(rows, layer)
            first(layer)
            self.mix(rows, layer, shared=shared)
            second(layer)

    def matrices(self, rows: int) -> Matrices:
        """The two matrices of a layer."""
        return self.streamed(rows) if rows <= WIDTH else self.dequantised(rows)

    def parts(self, rows: int) -> tuple[int, int]:
        """Of how many partial sums the two matrices' results are made."""
        return (self.arena.parts.first, self.arena.parts.second) if rows <= WIDTH else (1, 1)

    @abstractmethod
    def embed(self, rows: int) -> None:
        """The rows' tokens to r."""

    @abstractmethod
    def norm(self, rows: int, layer: int) -> None:
        """The norm before a layer: from r and the last sums to x."""

    @abstractmethod
    def mix(self, rows: int, layer: int, *, shared: bool) -> None:
        """Attention and activation: from y1 to x2."""

    @abstractmethod
    def streamed(self, rows: int) -> Matrices:
        """The two matrices of a layer from their units, for up to WIDTH rows."""

    @abstractmethod
    def dequantised(self, rows: int) -> Matrices:
        """The two matrices of a layer by cuBLAS, fp32 out, for more rows."""

    @abstractmethod
    def draw(self, body_rows: int, picks: int) -> None:
        """Draw for the first `picks` entries of `pick`, after `body` of `body_rows` rows."""
