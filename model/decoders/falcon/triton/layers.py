"""One pass of rows through the model as a sequence of Triton launches.

    embed ─ [gather ─ normalise ─ W1 ─ (store_kv) ─ attend ─ activate ─ W2] × layers
          ─ gather ─ normalise ─ head ─ prepare ─ sample

Up to 64 rows read the NF4 units; more go through cuBLAS on a matrix that was
dequantised just before. Knows order; knows nothing of slots' owners, graphs or
the host's waiting.
"""

from __future__ import annotations

import torch
import triton

from model.decoders.falcon import layers
from model.decoders.falcon.arena import GROUP, product
from model.decoders.falcon.layers import Matrices
from model.decoders.falcon.shape import HEAD, TILE
from model.decoders.falcon.triton.arena import CHUNK, LISTED, Arena
from model.decoders.falcon.triton.kernels import (
    activation,
    attention,
    dense,
    matrix,
    norm,
    sampling,
)
from model.decoders.falcon.triton.tiles import Tiles, width

PAIRS = TILE // 2
COLUMNS = 1024  # of a program that only moves a row's numbers
LORA_ROWS = 16  # of a prompt that a program of `prompt_lora` takes
DEQUANTISED = 8  # units that a program of `dequantise` takes
ROOM = 64  # most pieces of a norm's sums


class Layers(layers.Layers):
    """See layers.py."""

    arena: Arena

    def __init__(self, arena: Arena, tiles: Tiles) -> None:
        self.arena, self.tiles, self.weights = arena, tiles, arena.weights
        self.shape = shape = arena.weights.shape
        self._blocks1, self._blocks2 = shape.hidden // 64, shape.cols2 // 64
        self._tiles1, self._tiles2 = shape.rows1 // TILE, shape.hidden // TILE
        if arena.pieces > ROOM:
            raise ValueError("the model is too wide for these kernels")

    def embed(self, rows: int) -> None:
        """See Layers."""
        a, control, hidden = self.arena, self.arena.control(rows), self.shape.hidden
        norm.embed[-(-hidden // COLUMNS), rows](
            self.weights.embedding.view(torch.float16), control.token, control.slot, a.newest,
            a.r, hidden, COLUMNS,
        )  # fmt: skip

    def draw(self, body_rows: int, picks: int) -> None:
        """See Layers."""
        control = self.arena.control(body_rows)
        self.norm(picks, self.shape.layers, body_rows)
        self.head(picks)
        self.sample(picks, control.pick_slot, control.pick_pos)

    def sample(self, rows: int, slots: torch.Tensor, positions: torch.Tensor) -> None:
        """Tokens from the first rows' logits."""
        a, words = self.arena, self.arena.seen.shape[1]
        floats, integers, seeds = (
            a.draws.view(kind) for kind in (torch.float32, torch.int32, torch.int64)
        )
        sizes = (a.vocabulary, self.shape.vocabulary, words)
        sampling.prepare[-(-words // sampling.PIECE.value), rows](
            a.logits, slots, floats, a.seen, a.bests, *sizes
        )
        sampling.sample[(rows,)](
            a.logits, slots, positions, floats, integers, seeds, a.seen, a.bests, a.chosen,
            a.newest, a.tokens, *sizes, LISTED, triton.next_power_of_2(words), num_warps=8,
        )  # fmt: skip

    def head(self, rows: int) -> None:
        """Logits of the first rows of `last`."""
        a, m = self.arena, width(rows)
        tile, tiles = self.tiles.head[m], a.vocabulary // TILE
        dense.head_matrix[(-(-tiles * PAIRS // tile.n),)](
            self.weights.head.view(torch.int64), a.last, self.shape.hidden, a.logits, rows,
            self._blocks1, tiles, tile.n, m, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip

    def norm(self, rows: int, layer: int, body_rows: int | None = None) -> None:
        """The norm before a layer, or before the head, which is layer `layers`."""
        a, w, hidden = self.arena, self.weights, self.shape.hidden
        last, before, all_rows = layer == self.shape.layers, max(layer - 1, 0), body_rows or rows
        control, at = a.control(all_rows), 0 if last else layer
        gamma, beta = (w.last_gamma, w.last_beta) if last else (w.gamma[layer], w.beta[layer])
        zero, one = a.banks
        norm.gather[a.pieces, -(-rows // 16)](
            a.r, a.y2, self.parts(all_rows)[1], a.u2, a.parts.second, zero.b2[before],
            one.b2[before], zero.ga[at], one.ga[at], a.in_use, control.bank, control.pick,
            a.stats, a.u1, rows, all_rows, hidden, layer > 0, not last, last, CHUNK,
        )  # fmt: skip
        x = a.last if last else a.x
        norm.normalise[-(-hidden // COLUMNS), rows](
            a.r, gamma, beta, a.stats, a.u1, zero.sga[at], one.sga[at], zero.sba[at], one.sba[at],
            control.bank, control.pick, x, x.shape[1], rows, a.pieces, hidden, self.shape.epsilon,
            not last, last, COLUMNS, ROOM,
        )  # fmt: skip

    def mix(self, rows: int, layer: int, *, shared: bool) -> None:
        """See Layers."""
        a, shape, parts = self.arena, self.shape, self.parts(rows)[0]
        control, keys, values = a.control(rows), a.keys[layer], a.values[layer]
        where = (a.y1, keys, values, control.slot, control.pos, a.rope)
        if shared:
            attention.store_kv[(rows,)](
                *where, rows, shape.rows1, shape.hidden, parts, a.context, num_warps=1
            )
        attention.attend[rows, a.groups, a.spans](
            *where, a.partial, rows, shape.rows1, shape.hidden, shape.heads, parts, a.context,
            a.groups, a.spans, maxnreg=attention.REGISTERS,
        )  # fmt: skip
        pieces = -(-shape.heads // GROUP) + -(-shape.mlp // (GROUP * HEAD))
        activation.activate[pieces, rows](
            a.y1, a.partial, control.pos, a.x2, a.x2.shape[1], rows, shape.rows1, shape.hidden,
            parts, a.groups, a.spans,
        )  # fmt: skip

    def streamed(self, rows: int) -> Matrices:
        """See Layers."""
        a, w, m = self.arena, self.weights, width(rows)
        tile1, tile2, bank = self.tiles.first[m], self.tiles.second[m], a.control(rows).bank
        words1, scales1 = w.w1.view(torch.int16), w.w1.view(torch.int32)
        words2, scales2 = w.w2.view(torch.int16), w.w2.view(torch.int32)
        zero, one = a.banks

        def first(layer: int) -> None:
            matrix.first_matrix[-(-self._tiles1 * PAIRS // tile1.n), a.parts.first](
                words1[layer], scales1[layer], a.table, a.x, a.x.shape[1],
                zero.b1[layer].view(torch.float16), one.b1[layer].view(torch.float16), a.in_use,
                a.y1, rows, self._blocks1, self._tiles1, self.shape.qkv, self.tiles.first_part,
                tile1.n, m, num_warps=tile1.warps, num_stages=tile1.stages,
            )  # fmt: skip

        def second(layer: int) -> None:
            matrix.second_matrix[-(-self._tiles2 * PAIRS // tile2.n) + 1, a.parts.second](
                words2[layer], scales2[layer], a.table, a.x2, a.x2.shape[1],
                *self._lora_a(layer), a.in_use, bank, a.y2, a.u2, rows, self._blocks2,
                self._tiles2, self._blocks1, self.tiles.second_part, tile2.n, m,
                num_warps=tile2.warps, num_stages=tile2.stages,
            )  # fmt: skip

        return first, second

    def dequantised(self, rows: int) -> Matrices:
        """See Layers."""
        a, shape, w, bank = self.arena, self.shape, self.weights, self.arena.control(rows).bank
        one, two = a.matrices()

        def dequantise(units: torch.Tensor, to: torch.Tensor) -> None:
            tiles, blocks, _ = units.shape
            dense.dequantise[tiles, -(-blocks // DEQUANTISED)](
                units.view(torch.int16), units.view(torch.int32), a.table, to, to.stride(0),
                blocks, DEQUANTISED,
            )  # fmt: skip

        def first(layer: int) -> None:
            dequantise(w.w1[layer], one)
            b0, b1 = (bank.b1[layer].view(torch.float16) for bank in a.banks)
            dense.lora_columns[(self._tiles1,)](
                b0, b1, a.in_use, one, one.stride(0), shape.hidden, shape.qkv, PAIRS
            )
            product(a.x[:rows], one, a.y1)

        def second(layer: int) -> None:
            dequantise(w.w2[layer], two)
            matrix.prompt_lora[a.parts.second, -(-rows // LORA_ROWS)](
                a.x2, a.x2.shape[1], *self._lora_a(layer), a.in_use, bank, a.u2, rows,
                self._blocks2, self._blocks1, self.tiles.second_part, LORA_ROWS,
            )  # fmt: skip
            product(a.x2[:rows], two, a.y2)

        return first, second

    def _lora_a(self, layer: int) -> tuple[torch.Tensor, ...]:
        """A of dense and of dense_4h_to_h, of both banks, two columns a number."""
        zero, one = self.arena.banks
        return tuple(t[layer].view(torch.int32) for t in (zero.ad, one.ad, zero.ah, one.ah))
