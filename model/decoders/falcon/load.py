"""A Falcon for this GPU: whether it fits, and everything put together.

Knows the GPU's memory; knows nothing of requests or people. `decoder` returns
None, having said why, where another decoder has to serve (machine.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from model.decoders.falcon import checkpoint
from model.decoders.falcon.backend import Backend
from model.decoders.falcon.banks import SETS
from model.decoders.falcon.decoder import FalconDecoder
from model.decoders.falcon.layout import UNIT
from model.decoders.falcon.machine import ThisMachine, choose
from model.decoders.falcon.shape import BLOCK, TILE, Shape, shape_of
from model.decoders.falcon.weights import Weights
from model.jobs import DoesNotFit
from model.types import ModelUnavailable

CONTEXT = 2048
# Conversations in KV for each that runs: a second turn finds the first one's still there.
PARKED = 4
# Activations of a step and a prompt, and CUDA's own.
WORKING_BYTES = 1_500_000_000

Build = Callable[[Weights, int], Backend]


def decoder(
    source: str,
    name: str,
    base: str | None,
    *,
    width: int,
    cache: Path,
    say: Callable[[str], None],
    kernels: str = "auto",
) -> FalconDecoder | None:
    """Falcon on the fastest kernels that this machine can run; raises ModelUnavailable.

    `kernels` may name those that are wanted: compiled, triton or bitsandbytes,
    which are the reference decoder's.
    """
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    try:
        shape = shape_of(config)
    except ModelUnavailable:
        return None
    path = choose(kernels, ThisMachine(cache), say)
    if path is None:
        return None
    slots = fit(shape, width, name, torch.cuda.mem_get_info()[0])
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    weights = checkpoint.load(checkpoint.folder_of(source), cache, torch.device("cuda", 0), say)
    return FalconDecoder(
        _builder(path, cache)(weights, slots),
        weights,
        tokenizer,
        name,
        base=base,
        quantised_modules=4 * shape.layers,
        eos=frozenset({int(tokenizer.eos_token_id)}),
        most=width,
    )


def fit(shape: Shape, width: int, name: str, free: int) -> int:
    """How many slots fit beside the model, at least `width`; raises DoesNotFit."""
    whole = need(shape) + WORKING_BYTES
    slot = 4 * shape.layers * BLOCK * CONTEXT
    slots = min(PARKED * width, (free - whole) // slot)
    if slots < width:
        wanted = whole + width * slot
        raise DoesNotFit(
            f"The GPU has {free / 1e9:.1f} GB free and {name} with {width} conversations needs "
            f"about {wanted / 1e9:.1f} GB: free some memory, lower the number of slots, or name "
            "a smaller model in LANNER_MODEL."
        )
    return int(slots)


def need(shape: Shape) -> int:
    """Bytes of the packed weights, a tied embedding, two banks and a third being staged."""
    units = shape.rows1 * shape.hidden + shape.hidden * shape.cols2
    tables = 2 * shape.vocabulary * shape.hidden
    lora = shape.rows1 * 2 * UNIT // TILE + 2 * SETS * 2 * shape.hidden + BLOCK * shape.cols2
    return shape.layers * (units * UNIT // (TILE * BLOCK) + 3 * lora) + tables


def _builder(path: str, cache: Path) -> Build:
    """The constructor of a path's backend."""
    if path == "compiled":
        from model.decoders.falcon.cuda.backend import CudaBackend

        return lambda weights, slots: CudaBackend(weights, cache, slots=slots, context=CONTEXT)
    from model.decoders.falcon.triton.backend import TritonBackend

    return lambda weights, slots: TritonBackend(weights, slots=slots, context=CONTEXT)
