"""One pass of rows through the model as a sequence of kernel launches.

    embed ─ [norm ─ W1 ─ (store_kv) ─ activation, attention ─ W2] × layers ─ norm ─ head ─ sample

Kernels overlap: W1's, the activation's and attention's blocks count what they have
written (common.cuh), and whoever needs it waits for the count, not for a kernel's end.

Up to 64 rows read the NF4 units; more go through cuBLAS on a matrix that was
dequantised just before, since then arithmetic and not memory decides. Between
the matrices both ways run the same kernels. Knows order; knows nothing of
slots' owners, graphs or the host's waiting.
"""

from __future__ import annotations

import torch

from model.decoders.falcon import layers
from model.decoders.falcon.arena import WIDTH, product
from model.decoders.falcon.cuda import jobs
from model.decoders.falcon.cuda.arena import Arena
from model.decoders.falcon.cuda.jobs import Shares
from model.decoders.falcon.cuda.native import (
    ACTIVATION,
    ATTENTION,
    FIRST,
    PIECES,
    SECOND,
    Kernels,
    MatrixArgs,
    MixerArgs,
    NormArgs,
    SampleArgs,
)
from model.decoders.falcon.layers import Matrices

WIDTHS = (1, 8, 16, 32, 64)
# How much later attention is ready than the activation, in units of a block's work.
LATE = 20


class Layers(layers.Layers):
    """See layers.py."""

    arena: Arena
    # False: a kernel waits until the one before it ends, so that it can be launched alone.
    counting = True

    def __init__(self, arena: Arena, kernels: Kernels) -> None:
        self.arena, self.kernels = arena, kernels
        self.shape, self.weights = arena.weights.shape, arena.weights
        device = torch.cuda.get_device_properties(arena.r.device)
        self._processors = device.multi_processor_count
        self._first, self._second = jobs.first(self.shape), jobs.second(self.shape)

    def embed(self, rows: int) -> None:
        """See Layers."""
        a, control = self.arena, self.arena.control(rows)
        self.kernels.embed(self.weights.embedding, control.token, control.slot, a.newest, a.r, rows)

    def norm(self, rows: int, layer: int) -> None:
        """See Layers."""
        self.kernels.layer_norm(self._norm(rows, layer))

    def mix(self, rows: int, layer: int, *, shared: bool) -> None:
        """See Layers."""
        mixer = self._mixer(rows, layer, shared=shared)
        if shared:
            self.kernels.store_kv(mixer)
        if self._shares(rows).reserved and not shared:  # at once, to the processors left to it
            self.kernels.attend(mixer)
            self.kernels.activate(mixer)
        else:
            self.kernels.activate(mixer)
            self.kernels.attend(mixer)

    def draw(self, body_rows: int, picks: int) -> None:
        """See Layers."""
        a, shape = self.arena, self.shape
        norm = self._norm(picks, shape.layers, body_rows)
        control = a.control(body_rows)
        norm.pick = control.pick.data_ptr()
        self.kernels.layer_norm(norm)
        plan, head = jobs.head(shape, a.vocabulary, picks), MatrixArgs()
        plan.write(head, self._processors, 0)
        head.weights, head.x, head.ldx = (
            self.weights.head.data_ptr(),
            a.last.data_ptr(),
            shape.hidden,
        )
        head.out, head.out_rows = a.logits.data_ptr(), a.vocabulary
        head.part_stride, head.rows = picks * a.vocabulary, picks
        head.blocks, head.fold = shape.hidden // 64, jobs.PART
        self.kernels.dense_matrix(_width(picks), head)
        sample = SampleArgs(
            logits=a.logits.data_ptr(),
            slot=control.pick_slot.data_ptr(),
            pos=control.pick_pos.data_ptr(),
            draw=a.draws.data_ptr(),
            seen=a.seen.data_ptr(),
            newest=a.newest.data_ptr(),
            token=a.tokens.data_ptr(),
            part_stride=head.part_stride,
            stride=a.vocabulary,
            parts=plan.parts,
            vocabulary=shape.vocabulary,
        )
        self.kernels.sample(sample, picks)

    def _norm(self, rows: int, layer: int, body_rows: int | None = None) -> NormArgs:
        """The norm before a layer, or before the head, which is layer `layers`."""
        a, w, last = self.arena, self.weights, layer == self.shape.layers
        counted = layer > 0 and self._counts(body_rows or rows)
        args = NormArgs(
            r=a.r.data_ptr(),
            sums=a.y2.data_ptr() if layer else 0,
            gamma=(w.last_gamma if last else w.gamma[layer]).data_ptr(),
            beta=(w.last_beta if last else w.beta[layer]).data_ptr(),
            x=(a.last if last else a.x).data_ptr(),
            ldx=a.last.shape[1] if last else a.x.shape[1],
            ud=a.ud.data_ptr(),
            uh=a.uh.data_ptr(),
            bank=a.control(body_rows or rows).bank.data_ptr(),
            ready=a.ready.data_ptr(),
            part_stride=(body_rows or rows) * self.shape.hidden,
            parts=self.parts(body_rows or rows)[1],
            rows=rows,
            all_rows=body_rows or rows,
            hidden=self.shape.hidden,
            groups=a.groups,
            second_blocks=self._blocks(body_rows or rows) if counted else 0,
            epsilon=self.shape.epsilon,
        )
        for i, bank in enumerate(a.banks):
            args.b2[i] = bank.b2[max(layer - 1, 0)].data_ptr()
            if not last:
                args.ga[i] = bank.ga[layer].data_ptr()
                args.sga[i] = bank.sga[layer].data_ptr()
                args.sba[i] = bank.sba[layer].data_ptr()
        return args

    def _mixer(self, rows: int, layer: int, *, shared: bool) -> MixerArgs:
        a, shape = self.arena, self.shape
        control, shares = a.control(rows), self._shares(rows)
        args = MixerArgs(
            y=a.y1.data_ptr(),
            keys=a.keys[layer].data_ptr(),
            values=a.values[layer].data_ptr(),
            slot=control.slot.data_ptr(),
            pos=control.pos.data_ptr(),
            bank=control.bank.data_ptr(),
            rope=a.rope.data_ptr(),
            x2=a.x2.data_ptr(),
            partial=a.partial.data_ptr(),
            ud=a.ud.data_ptr(),
            uh=a.uh.data_ptr(),
            counter=a.counter.data_ptr(),
            banks=a.in_use.data_ptr(),
            ready=a.ready.data_ptr(),
            part_stride=rows * shape.rows1,
            ldy=shape.rows1,
            ldx=a.x2.shape[1],
            parts=self.parts(rows)[0],
            rows=rows,
            hidden=shape.hidden,
            heads=shape.heads,
            context=a.context,
            spans=a.spans,
            first_blocks=self._blocks(rows) if self._counts(rows) and not shared else 0,
            groups_a_block=shares.groups,
            spans_a_block=shares.spans,
            prefetch=0 if shared or shares.reserved else 1,
            write_kv=0 if shared else 1,
        )
        for i, held in enumerate(a.banks):
            args.ad[i], args.ah[i] = held.ad[layer].data_ptr(), held.ah[layer].data_ptr()
        return args

    def _shares(self, rows: int) -> Shares:
        return jobs.shares(rows, self.arena.groups, self.arena.spans)

    def _blocks(self, rows: int) -> int:
        """Of a matrix."""
        return self._processors - self._shares(rows).reserved

    def _counts(self, rows: int) -> bool:
        return self.counting and rows <= WIDTH

    def streamed(self, rows: int) -> Matrices:
        """See Layers."""
        a, shape, w = self.arena, self.shape, self.weights
        one, two = MatrixArgs(), MatrixArgs()
        warps = jobs.WARPS if rows <= jobs.NARROW else 0
        self._first.write(one, self._blocks(rows), warps)
        self._second.write(two, self._blocks(rows), warps, LATE if warps else 0)
        # W2 starts beside the mixer: each part as soon as what it reads is there.
        one.done, two.done = a.ready[FIRST:].data_ptr(), a.ready[SECOND:].data_ptr()
        two.ready = a.ready.data_ptr() if self._counts(rows) else 0
        chunks = -(-rows // 8) * (shape.mlp // 256)
        two.least[ATTENTION], two.least[ACTIVATION] = rows * a.groups, chunks
        two.least[PIECES] = rows * a.groups + chunks
        for args, x, out, out_rows, columns in (
            (one, a.x, a.y1, shape.rows1, shape.hidden),
            (two, a.x2, a.y2, shape.hidden, shape.cols2),
        ):
            args.x, args.ldx, args.out = x.data_ptr(), x.shape[1], out.data_ptr()
            args.banks, args.out_rows, args.part_stride = (
                a.in_use.data_ptr(),
                out_rows,
                rows * out_rows,
            )
            args.rows, args.blocks, args.u_column = rows, columns // 64, columns

        def first(layer: int) -> None:
            one.weights = w.w1[layer].data_ptr()
            for i, bank in enumerate(a.banks):
                one.lora[i] = bank.b1[layer].data_ptr()
            self.kernels.nf4_matrix(_width(rows), one)

        def second(layer: int) -> None:
            two.weights = w.w2[layer].data_ptr()
            self.kernels.nf4_matrix(_width(rows), two)

        return first, second

    def dequantised(self, rows: int) -> Matrices:
        """See Layers."""
        a, shape, w = self.arena, self.shape, self.weights
        one, two = a.matrices()

        def first(layer: int) -> None:
            self.kernels.dequantise(w.w1[layer], one)
            lora = [bank.b1[layer] for bank in a.banks]
            self.kernels.copy_lora(lora, a.in_use, one, shape.qkv)
            product(a.x[:rows], one, a.y1)

        def second(layer: int) -> None:
            self.kernels.dequantise(w.w2[layer], two)
            product(a.x2[:rows], two, a.y2)

        return first, second


def _width(rows: int) -> int:
    """The kernel for so many rows."""
    return next(width for width in WIDTHS if rows <= width)
