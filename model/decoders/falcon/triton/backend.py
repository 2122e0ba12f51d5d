"""The Triton path put together: memory, kernels and graphs, for NVIDIA GPUs since Ampere.

Knows what belongs together; knows nothing of rows or order.
"""

from __future__ import annotations

from model.decoders.falcon.arena import WIDTH
from model.decoders.falcon.graphs import GraphBackend
from model.decoders.falcon.triton.arena import Arena
from model.decoders.falcon.triton.layers import LORA_ROWS, Layers
from model.decoders.falcon.triton.tiles import Tiles
from model.decoders.falcon.weights import Weights

PATH = "Triton kernels, NF4 and LoRA in CUDA graphs"


class TritonBackend(GraphBackend):
    """See backend.py. On a CPU its kernels run only in Triton's interpreter."""

    def __init__(
        self,
        weights: Weights,
        *,
        slots: int = 64,
        context: int = 2048,
        prefill_rows: int = 512,
        tiles: Tiles | None = None,
    ) -> None:
        tiles = tiles or Tiles()
        rows = max(-(-prefill_rows // LORA_ROWS) * LORA_ROWS, WIDTH)
        arena = Arena(weights, slots, context, rows, tiles)
        self.layers = Layers(arena, tiles)
        super().__init__(PATH, arena, self.layers, long_graph=True)
