"""Puts one run together: data, base, adapter, loop; and writes what comes out.

The composition root of training. Knows every part; decides nothing that a
recipe can decide.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from training import memory
from training import ranks as processes
from training.adapter import MANIFEST, write_files
from training.backbone import Backbone
from training.base import Base, load_base
from training.checkpoint import Checkpoints, replace_folder
from training.data.prepare import Prepared, prepare
from training.errors import DataError
from training.examples import Encoded, encode, joined
from training.generate import replies
from training.gradients import Gradients
from training.loop import Loop, Progress
from training.lora import LoraLinear, parameters, wrap
from training.manifest import manifest
from training.ranks import Ranks
from training.recipe import Recipe
from training.watch import Bar, Board, History, Samples, loss_png

Say = Callable[[str], None]
# Left free for what is not counted: the allocator's gaps, the context, other programs.
SPARE = 0.92


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run's files are."""

    data_dir: Path
    name: str

    @property
    def run(self) -> Path:
        """Checkpoints, history and samples."""
        return self.data_dir / "training" / self.name

    @property
    def adapter(self) -> Path:
        """Where `/reload` finds it."""
        return self.data_dir / "adapters" / self.name


@dataclass(frozen=True, slots=True)
class Taught:
    """The data of a run, as tokens."""

    prepared: Prepared
    train: Encoded
    held_out: Encoded

    @property
    def share(self) -> float:
        """Taught tokens among all."""
        examples = self.train.examples
        return sum(e.taught for e in examples) / max(1, sum(len(e) for e in examples))


def teach(recipe: Recipe, prepared: Prepared, tokenizer: Any) -> Taught:
    """Encode both sides of the split."""
    part = recipe.data
    train = encode(prepared.taught, tokenizer, part.max_length, part.replies)
    if part.join:
        train = replace(train, examples=joined(train.examples))
    held_out = encode(prepared.held_out, tokenizer, part.max_length, part.replies)
    if not train.examples:
        raise DataError("Everything was held out: lower data.held_out or add rows.")
    return Taught(prepared, train, held_out)


def fit(recipe: Recipe, places: Places, say: Say, *, resume: bool = False) -> bool:
    """Train an adapter and write its folder; raises TrainingError or ModelUnavailable.

    True in the process that wrote it, where several train together.
    """
    team = processes.join()
    said: Say = say if team.first else (lambda _text: None)
    try:
        _fit(recipe, places, said, team, resume=resume)
    finally:
        processes.leave()
    return team.first


def _fit(recipe: Recipe, places: Places, say: Say, team: Ranks, *, resume: bool) -> None:
    began = time.perf_counter()
    prepared = prepare(recipe.data, recipe.seed)
    base = load_base(recipe.model, places.data_dir, team, say)
    taught = teach(recipe, prepared, base.tokenizer)
    tell_data(taught, recipe, say)
    # The same A in every process and in every run.
    torch.manual_seed(recipe.seed)
    layers = wrap(base.model, recipe.lora)
    trained = dict(parameters(layers))
    team.same_everywhere(p.data for p in trained.values())
    if team.shard:
        processes.shard(base.model, trained.values(), base.device)
    loop = _loop(recipe, places, base, taught, trained, team, say)
    if resume:
        loop.resume()
        say(f"Going on after step {loop.progress.step}.")
    progress = loop.run()
    if team.first:
        write_adapter(recipe, places, base, layers, taught, loop, time.perf_counter() - began)
        say(f"\nThe adapter is in {places.adapter}; in the chat: /reload {places.name}")
    team.wait()
    _tell_end(progress, say)


def _loop(
    recipe: Recipe,
    places: Places,
    base: Base,
    taught: Taught,
    trained: dict[str, torch.nn.Parameter],
    team: Ranks,
    say: Say,
) -> Loop:
    chosen = choose_memory(recipe, base, taught.share, say)
    gradients = Gradients(
        Backbone(base.model, recompute=chosen.full),
        base.device,
        list(trained.values()),
        tokens=chosen.tokens,
        batching=recipe.fit.batching,
        ranks=team,
        say=lambda text: say(f"\n{text}"),
    )
    checkpoints = Checkpoints(places.run / "checkpoints")
    loop = Loop(
        recipe, base.model, trained, gradients, taught.train.examples, taught.held_out.examples,
        device=base.device, checkpoints=checkpoints, ranks=team,
        half=base.compute == torch.float16,
        marks={"recipe": _lasting(recipe), "data": taught.prepared.sha256, "base": base.name},
    )  # fmt: skip
    if team.first:
        loop.watchers = _watchers(recipe, places, base, taught, say)
    return loop


def _lasting(recipe: Recipe) -> dict[str, Any]:
    """What must not change between a checkpoint and its resumption."""
    whole = recipe.as_dict()
    whole["fit"] = {
        key: value
        for key, value in whole["fit"].items()
        if key not in ("micro_batch", "save_every", "samples", "checkpointing")
    }
    return {key: whole[key] for key in ("seed", "data", "lora", "fit")}


def choose_memory(recipe: Recipe, base: Base, share: float, say: Say) -> memory.Fit:
    """The micro-batch for the memory that is free now."""
    size = base.compute.itemsize
    taken = torch.cuda.memory_allocated(base.device) if base.device.type == "cuda" else 0
    free = free_bytes(base.device) + taken
    chosen = memory.choose(
        base.model.config, recipe, nf4=base.quantised > 0, size=size, free=int(free * SPARE),
        taught_share=share,
    )  # fmt: skip
    say(
        f"Micro-batches of {chosen.tokens} tokens, layers "
        f"{'computed again' if chosen.full else 'kept'}; about {chosen.estimate.total / 1e9:.1f} GB"
        f"{' (a rough estimate)' if chosen.estimate.rough else ''}."
    )
    return chosen


def free_bytes(device: torch.device) -> int:
    """Memory that a run may take: the GPU's, or the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    from training.machine import free_memory

    return free_memory()


def _watchers(recipe: Recipe, places: Places, base: Base, taught: Taught, say: Say) -> list[Any]:
    places.run.mkdir(parents=True, exist_ok=True)
    found: list[Any] = [
        Bar(recipe.fit.steps),
        History(places.run, f"{recipe.name}: {base.name}"),
        Board(places.run / "tensorboard"),
    ]
    shown = taught.held_out.examples[: recipe.fit.samples]
    if shown:

        def write() -> list[str]:
            prompts = [example.prompt for example in shown]
            found = replies(base.model, base.tokenizer, prompts, new_tokens=80, width=len(prompts))
            return [reply.text for reply in found]

        asked = [example.prompt[-1].text for example in shown]
        found.append(Samples(places.run / "samples.jsonl", asked, write, say))
    return found


def write_adapter(
    recipe: Recipe,
    places: Places,
    base: Base,
    layers: dict[str, LoraLinear],
    taught: Taught,
    loop: Loop,
    seconds: float,
) -> None:
    """The adapter's folder, whole or not at all."""
    targets = sorted({name.rsplit(".", 1)[-1] for name in layers})
    about = manifest(
        recipe,
        taught.prepared.report.as_dict() | _counts(taught, recipe),
        taught.prepared.sha256,
        {"name": base.name, "quantised_modules": base.quantised, "demo": base.demo,
         "compute": str(base.compute)[6:], "folder": recipe.model.base},
    )  # fmt: skip

    def write(folder: Path) -> None:
        sha256 = write_files(folder, loop.result(), recipe.lora, base.name, targets)
        about["adapter_sha256"] = sha256
        about["run"] = _run(loop, base, seconds)
        # Not yet compared with its base: `compare` gives the verdict.
        about["verdict"], about["reasons"] = None, []
        (folder / MANIFEST).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
        image = loss_png(loop.progress, f"{recipe.name}: {base.name}")
        if image is not None:
            (folder / "loss.png").write_bytes(image)

    replace_folder(places.adapter, write)


def _counts(taught: Taught, recipe: Recipe) -> dict[str, Any]:
    rows = len(taught.train.examples)
    return {
        "taught_examples": rows,
        "held_out_examples": len(taught.held_out.examples),
        "prompts_cut": taught.train.prompts_cut,
        "replies_cut": taught.train.replies_cut,
        "times_each_is_seen": round(recipe.fit.steps * recipe.fit.batch / rows, 2),
    }


def _run(loop: Loop, base: Base, seconds: float) -> dict[str, Any]:
    progress = loop.progress
    found: dict[str, Any] = {
        "steps": progress.step,
        "best_step": progress.best_step if loop.best else progress.step,
        "stopped_early": progress.stopped_early,
        "training_seconds": round(progress.seconds, 1),
        "whole_seconds": round(seconds, 1),
        "tokens": int(sum(one["tokens"] for one in progress.steps)),
        "history": {"steps": progress.steps, "evaluations": progress.evaluations},
    }
    if base.device.type == "cuda":
        found["peak_bytes"] = torch.cuda.max_memory_allocated(base.device)
    return found


def tell_data(taught: Taught, recipe: Recipe, say: Say) -> None:
    """How many rows are taught, held out and dropped, and the rows dropped for cause."""
    report = taught.prepared.report
    for name in report.absent:
        say(f"The source {name} has no rows yet: going on without it.")
    say(
        f"{len(taught.train.examples)} rows are taught, {len(taught.held_out.examples)} replies "
        f"held out, {len(report.dropped)} rows left out; each is seen "
        f"{recipe.fit.steps * recipe.fit.batch / len(taught.train.examples):.1f} times."
    )
    listed = [one for one in report.dropped if one.rule not in ("limit", "duplicate")]
    for one in listed[:40]:
        say(f"  left out {one.source} row {one.id}: {one.reason} — “{one.question[:70]}”")
    if len(listed) > 40:
        say(f"  … and {len(listed) - 40} more: `python -m training check` lists all.")


def _tell_end(progress: Progress, say: Say) -> None:
    if progress.evaluations:
        first, best = progress.evaluations[0]["loss"], progress.best_loss
        say(f"Held-out loss {first:.3f} before, {best:.3f} at the best step {progress.best_step}.")
