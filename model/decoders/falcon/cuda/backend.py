"""The compiled path put together: memory, kernels and graphs.

Knows what belongs together; knows nothing of rows or order.
"""

from __future__ import annotations

from pathlib import Path

from model.decoders.falcon.arena import WIDTH
from model.decoders.falcon.cuda import build
from model.decoders.falcon.cuda.arena import Arena
from model.decoders.falcon.cuda.layers import Layers
from model.decoders.falcon.cuda.native import Kernels
from model.decoders.falcon.graphs import GraphBackend
from model.decoders.falcon.weights import Weights

PATH = "compiled CUDA kernels, NF4 and LoRA in CUDA graphs"


class CudaBackend(GraphBackend):
    """See backend.py. `cache` is where the compiled kernels are kept."""

    def __init__(
        self,
        weights: Weights,
        cache: Path,
        *,
        slots: int = 64,
        context: int = 2048,
        prefill_rows: int = 512,
    ) -> None:
        arena = Arena(weights, slots, context, max(prefill_rows, WIDTH))
        self.layers = Layers(arena, Kernels(build.library(cache)))
        super().__init__(PATH, arena, self.layers, long_graph=False)
