"""Memory and time of a recipe on this machine, before any weights are loaded.

Memory is counted from shapes (memory.py); time from the operations that a run
takes and the speed of one matrix product, measured now. Knows configs and the
data's lengths; knows nothing of weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.types import ModelUnavailable
from training import memory
from training.base import choose_compute, choose_device, quantises, source_of
from training.batches import micro_batches, step_examples
from training.check import open_tokenizer
from training.data.prepare import prepare
from training.examples import Example
from training.machine import free_memory, speed
from training.ranks import Ranks
from training.recipe import Recipe
from training.run import SPARE, teach
from training.watch import clock

Say = Callable[[str], None]
# What is left of a bare product's speed in a whole step: assumed, not yet measured.
EFFICIENCY = {"cuda": 0.62, "cpu": 0.55}


@dataclass(frozen=True, slots=True)
class Plan:
    """Bytes and seconds."""

    chosen: memory.Fit
    free: int
    tokens_a_step: float
    padding: float
    seconds: float


def plan(recipe: Recipe, data_dir: Path, say: Say) -> Plan:
    """Say what the run will take; raises TrainingError."""
    device = choose_device(recipe.model, Ranks())
    compute = choose_compute(recipe.model, device)
    nf4 = quantises(recipe.model, device)
    config = open_config(recipe, data_dir, say)
    taught = teach(recipe, prepare(recipe.data, recipe.seed), open_tokenizer(recipe, data_dir))
    free = int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_memory()
    chosen = memory.choose(
        config, recipe, nf4=nf4, size=compute.itemsize, free=int(free * SPARE),
        taught_share=taught.share,
    )  # fmt: skip
    places, padding = _places(recipe, taught.train.examples, chosen.tokens)
    rate = speed(device, compute) * EFFICIENCY[device.type]
    seconds = recipe.fit.steps * operations(config, places, taught.share, chosen.full) / rate
    found = Plan(chosen, free, places, padding, seconds)
    _tell(found, recipe, device, compute, nf4, len(taught.train.examples), say)
    return found


def open_config(recipe: Recipe, data_dir: Path, say: Say) -> Any:
    """The base's config alone."""
    from transformers import AutoConfig

    source, _ = source_of(recipe.model, data_dir, say)
    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"The config of {source} could not be fetched: check the network and the name."
        ) from error


def operations(config: Any, tokens: float, taught_share: float, full: bool) -> float:
    """Of one step: forward, backward for inputs alone, and forward again where recomputed."""
    shape = memory.shape_of(config)
    passes = 3 if full else 2
    head = shape.vocabulary * shape.width * taught_share * 2
    return 2.0 * tokens * (passes * shape.linear_parameters + head)


def _places(recipe: Recipe, examples: list[Example], tokens: int) -> tuple[float, float]:
    """(places a step with padding, share of them that is padding), over the first steps."""
    whole = real = 0
    steps = min(recipe.fit.steps, 20)
    for step in range(steps):
        chosen = step_examples(step, recipe.fit.batch, len(examples), recipe.seed)
        real += sum(len(examples[index]) for index in chosen)
        whole += sum(b.tokens for b in micro_batches(examples, chosen, tokens, recipe.fit.batching))
    return whole / steps, 1 - real / whole


def _tell(
    found: Plan,
    recipe: Recipe,
    device: torch.device,
    compute: torch.dtype,
    nf4: bool,
    examples: int,
    say: Say,
) -> None:
    parts, fit = found.chosen.estimate, recipe.fit
    say(f"{recipe.name} on {device}, {'NF4 and ' if nf4 else ''}{str(compute)[6:]}")
    if recipe.note:
        say(recipe.note)
    for name, size in (
        ("frozen weights", parts.weights),
        ("adapter and optimiser", parts.adapter),
        ("kept for the backward pass", parts.kept),
        ("working", parts.working),
        ("peak", parts.total),
        ("free on this machine", found.free),
    ):
        say(f"  {name:28}{size / 1e9:8.2f} GB")
    if parts.rough:
        say("  The peak is a rough estimate: exact counting is for Falcon.")
    if parts.total > found.free * SPARE:
        say("  It does not fit: lower data.max_length or lora.rank, or choose a smaller base.")
    say(
        f"  micro-batches of {found.chosen.tokens} tokens, layers "
        f"{'computed again' if found.chosen.full else 'kept'}; {fit.batch} sequences a step, "
        f"{found.tokens_a_step:,.0f} tokens, {found.padding:.0%} of them padding"
    )
    say(
        f"  {fit.steps} steps, each of {examples} examples seen "
        f"{fit.steps * fit.batch / examples:.1f} times"
    )
    say(
        f"  about {clock(found.seconds)} of training at the speed that this machine shows now, "
        "evaluations and comparison not counted"
    )
