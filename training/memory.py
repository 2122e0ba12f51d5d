"""How much memory a step takes, from shapes alone, before anything is loaded.

Counts what the backward pass keeps for each token, what a layer needs while it
works, the adapter with its optimiser, and the frozen weights. Exact counting
for Falcon's short way (see backbone.py); a rougher one for other models, which
says so. Knows shapes; knows nothing of devices or data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.memory import HALF_BYTES, nf4_bytes
from training.loss import CHUNK
from training.recipe import LoraPart, Recipe

# fp32 value, fp32 gradient, and AdamW's two fp32 moments.
ADAPTER_BYTES = 16
# What cuBLAS takes once on a GPU.
WORKSPACE = 36_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model: `linears` are (in, out) of one layer's linear maps."""

    width: int
    layers: int
    vocabulary: int
    heads: int
    head: int
    kv_heads: int
    wide: int
    linears: tuple[tuple[int, int], ...]
    falcon: bool

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear layers but the head."""
        return self.layers * sum(inner * outer for inner, outer in self.linears)


def shape_of(config: Any) -> Shape:
    """Read a transformers config."""
    width, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or width // heads
    falcon = config.model_type == "falcon" and config.multi_query and config.parallel_attn
    linears: tuple[tuple[int, int], ...]
    if falcon and not config.new_decoder_architecture:
        kv, wide = 1, config.ffn_hidden_size
        linears = ((width, width + 2 * head), (width, width), (width, wide), (wide, width))
    else:
        kv = getattr(config, "num_key_value_heads", None) or heads
        wide = getattr(config, "intermediate_size", None) or 4 * width
        out, small = heads * head, kv * head
        attention = ((width, out), (width, small), (width, small), (out, width))
        linears = (*attention, (width, wide), (width, wide), (wide, width))
    layers = config.num_hidden_layers
    return Shape(width, layers, config.vocab_size, heads, head, kv, wide, linears, falcon)


def adapter_parameters(shape: Shape, part: LoraPart) -> int:
    """Of LoRA on every linear layer."""
    return shape.layers * part.rank * sum(inner + outer for inner, outer in shape.linears)


def kept_per_token(shape: Shape, part: LoraPart, size: int) -> int:
    """Bytes that one layer keeps for one token; `size` is the compute type's bytes."""
    low = len(shape.linears) * part.rank * size
    if shape.falcon:
        # The layer's input, its norm, rotated queries and key, value, attention's output
        # (which the next projection shares), and GELU's input.
        values = 4 * shape.width + 2 * shape.head + shape.wide
        # The norm's two numbers and attention's sum for each head are fp32.
        return values * size + 4 * (2 + shape.heads) + low
    small = shape.kv_heads * shape.head
    values = 8 * shape.width + 4 * (shape.heads * shape.head) + 6 * small + 5 * shape.wide
    # RMS norms keep fp32 copies of their inputs.
    return values * size + 8 * shape.width + low


def working_bytes(shape: Shape, part: LoraPart, size: int, tokens: int, taught: int) -> int:
    """The most that is needed for a moment beside what is kept."""
    weight = max(inner * outer for inner, outer in shape.linears) * size
    # In the widest layer's backward pass: its input again, dropout's mask and its product or
    # the gradient beside it, and the narrow gradients that come and go.
    masks = 3 if part.dropout else 2
    layer = weight + tokens * size * (masks * shape.wide + 2 * shape.width)
    chunk = min(CHUNK, taught)
    # Half-width logits, their fp32 form, and the gradient cast back.
    head = chunk * shape.vocabulary * (2 * size + 4) + 2 * taught * shape.width * size
    return max(layer, head)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes, by part; `rough` where they are not counted exactly."""

    weights: int
    adapter: int
    kept: int
    working: int
    rough: bool

    @property
    def total(self) -> int:
        """The peak."""
        return self.weights + self.adapter + self.kept + self.working


def estimate(
    config: Any, recipe: Recipe, *, tokens: int, taught: int, nf4: bool, size: int, full: bool
) -> Estimate:
    """For micro-batches of `tokens` places, of which `taught` are learnt."""
    shape = shape_of(config)
    adapter = adapter_parameters(shape, recipe.lora) * ADAPTER_BYTES
    layer = kept_per_token(shape, recipe.lora, size)
    inputs = shape.width * size
    kept = tokens * ((shape.layers * inputs + layer) if full else shape.layers * layer)
    working = working_bytes(shape, recipe.lora, size, tokens, taught)
    weights = weight_bytes(config, nf4=nf4, size=size) + (WORKSPACE if size == HALF_BYTES else 0)
    return Estimate(weights, adapter, kept, working, not shape.falcon)


def weight_bytes(config: Any, *, nf4: bool, size: int) -> int:
    """Of the frozen base."""
    if nf4:
        return nf4_bytes(config)
    shape = shape_of(config)
    tied = 1 if getattr(config, "tie_word_embeddings", True) else 2
    return (shape.linear_parameters + tied * shape.vocabulary * shape.width) * size


@dataclass(frozen=True, slots=True)
class Fit:
    """What was chosen for a memory: places of a micro-batch, and whether layers are recomputed."""

    tokens: int
    full: bool
    estimate: Estimate


def choose(
    config: Any, recipe: Recipe, *, nf4: bool, size: int, free: int, taught_share: float = 1.0
) -> Fit:
    """The largest micro-batch that fits `free` bytes; recomputing only where it must.

    Falls to a single sequence with recomputation when nothing fits: the loop
    still lowers what it can and says when it cannot.
    """
    length, batch = recipe.data.max_length, recipe.fit.batch
    mode = recipe.fit.checkpointing
    wanted = recipe.fit.micro_batch
    for full in (False, True):
        if (full and mode == "selective") or (not full and mode == "full"):
            continue
        rows = batch if wanted == "auto" else min(wanted, batch)
        while rows >= 1:
            tokens = rows * length
            found = estimate(
                config, recipe, tokens=tokens, taught=max(1, int(tokens * taught_share)),
                nf4=nf4, size=size, full=full,
            )  # fmt: skip
            if found.total <= free:
                return Fit(tokens, full, found)
            rows //= 2
    least = estimate(
        config, recipe, tokens=length, taught=length, nf4=nf4, size=size, full=mode != "selective"
    )
    return Fit(length, mode != "selective", least)
