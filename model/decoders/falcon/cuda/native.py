"""The compiled kernels as Python functions: argument records by ctypes, errors as exceptions.

The records mirror the structs of the same names in kernels/*.cu; `Kernels`
compares their sizes when it loads. Knows addresses; knows nothing of order.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_float, c_int, c_long, c_uint8, c_void_p
from typing import Any

import torch

from model.decoders.protocol import DeviceLost

MAX_JOBS, MAX_BLOCKS = 32, 256
FIRST, ATTENTION, ACTIVATION, PIECES, SECOND = range(5)  # counters (common.cuh)


class Job(ctypes.Structure):
    """A part of the columns and a range of tiles (matrix.cu)."""

    _fields_ = [
        (name, c_int) for name in ("k0", "blocks", "tile0", "tiles", "set", "sets", "part", "needs")
    ]


class MatrixArgs(ctypes.Structure):
    """matrix.cu."""

    _fields_ = [
        ("weights", c_void_p),
        ("lora", c_void_p * 2),
        ("x", c_void_p),
        ("out", c_void_p),
        ("banks", c_void_p),
        ("ready", c_void_p),
        ("done", c_void_p),
        *((name, c_long) for name in ("ldx", "part_stride", "out_rows")),
        *((name, c_int) for name in ("rows", "blocks", "u_column", "fold", "jobs")),
        ("least", c_int * SECOND),
        ("job_of", c_uint8 * MAX_BLOCKS),
        ("block0", c_int * (MAX_JOBS + 1)),
        ("job", Job * MAX_JOBS),
    ]


class NormArgs(ctypes.Structure):
    """norm.cu."""

    _fields_ = [
        *((name, c_void_p) for name in ("r", "sums", "gamma", "beta")),
        *((name, c_void_p * 2) for name in ("ga", "sga", "sba", "b2")),
        *((name, c_void_p) for name in ("ud", "uh", "x", "bank", "ready", "pick")),
        *((name, c_long) for name in ("part_stride", "ldx")),
        *((name, c_int) for name in ("parts", "rows", "all_rows", "hidden", "groups")),
        ("second_blocks", c_int),
        ("epsilon", c_float),
    ]


class MixerArgs(ctypes.Structure):
    """mixer.cuh."""

    _fields_ = [
        *((name, c_void_p) for name in ("y", "keys", "values", "slot", "pos", "bank", "rope")),
        *((name, c_void_p * 2) for name in ("ad", "ah")),
        *((name, c_void_p) for name in ("x2", "partial", "ud", "uh", "counter", "banks", "ready")),
        *((name, c_long) for name in ("part_stride", "ldy", "ldx")),
        *((name, c_int) for name in ("parts", "rows", "hidden", "heads", "context", "spans")),
        *(
            (name, c_int)
            for name in ("first_blocks", "groups_a_block", "spans_a_block", "prefetch", "write_kv")
        ),
    ]


class SampleArgs(ctypes.Structure):
    """sampling.cu."""

    _fields_ = [
        *((name, c_void_p) for name in ("logits", "slot", "pos", "draw", "seen")),
        *((name, c_void_p) for name in ("newest", "token")),
        *((name, c_long) for name in ("part_stride", "stride")),
        *((name, c_int) for name in ("parts", "vocabulary")),
    ]


class Kernels:
    """Launches on torch's current stream."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        records = {"matrix": MatrixArgs, "norm": NormArgs, "mixer": MixerArgs, "sample": SampleArgs}
        for name, record in records.items():
            size = getattr(library, f"{name}_args_bytes")()
            if size != ctypes.sizeof(record):
                raise RuntimeError(f"{name}: the library's record has {size} bytes")

    def nf4_matrix(self, width: int, args: MatrixArgs) -> None:
        """Sums of an NF4 matrix; `width` 1, 8, 16, 32 or 64 is at least the rows."""
        self._call("nf4_matrix", width, byref(args))

    def dense_matrix(self, width: int, args: MatrixArgs) -> None:
        """Sums of a dense matrix."""
        self._call("dense_matrix", width, byref(args))

    def layer_norm(self, args: NormArgs) -> None:
        """LayerNorm, x and u."""
        self._call("layer_norm", byref(args))

    def activate(self, args: MixerArgs) -> None:
        """The MLP's activation."""
        self._call("activate", byref(args))

    def attend(self, args: MixerArgs) -> None:
        """Attention."""
        self._call("attend", byref(args))

    def store_kv(self, args: MixerArgs) -> None:
        """The rows' keys and values."""
        self._call("store_kv", byref(args))

    def sample(self, args: SampleArgs, rows: int) -> None:
        """Draw."""
        self._call("sample_rows", byref(args), rows)

    def embed(self, table: Any, token: Any, slot: Any, newest: Any, r: Any, rows: int) -> None:
        """Rows of the embedding to the residual."""
        at = [c_void_p(t.data_ptr()) for t in (table, token, slot, newest, r)]
        self._call("embed_rows", *at, r.shape[1], rows)

    def dequantise(self, units: torch.Tensor, out: torch.Tensor) -> None:
        """Units [tiles, blocks, 1088] to fp16 [rows, columns and more]."""
        tiles, blocks, _ = units.shape
        where = (c_void_p(units.data_ptr()), c_void_p(out.data_ptr()))
        self._call(
            "dequantise_units", *where, blocks, c_long(tiles * blocks), c_long(out.stride(0))
        )

    def copy_lora(
        self, lora: list[torch.Tensor], banks: torch.Tensor, out: torch.Tensor, split: int
    ) -> None:
        """B of both banks behind W1's weights in `out`; rows from `split` on are of set 1."""
        where = [c_void_p(t.data_ptr()) for t in (*lora, banks, out)]
        columns = out.shape[1] - 128
        self._call("copy_lora", *where, c_long(out.stride(0)), columns, split, out.shape[0])

    def _call(self, name: str, *args: Any) -> None:
        stream = c_void_p(torch.cuda.current_stream().cuda_stream)
        status = getattr(self._library, name)(*args, stream)
        if status:
            raise DeviceLost(f"{name}: CUDA error {status}")
