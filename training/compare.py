"""Base against adapter, on what neither has seen, with the adapter as it is on disk.

The adapter is loaded from its folder the way the bot loads it, and its hash is
held against its manifest: what is compared is what will be served. Knows
models, data and metrics; knows nothing of HTML.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from model.types import Turn
from training import recipe as recipes
from training.adapter import MANIFEST, WEIGHTS, read_json, sha256
from training.backbone import Backbone
from training.base import Base, load_base
from training.data.prepare import prepare
from training.errors import TrainingError
from training.examples import Example
from training.generate import Reply, replies
from training.gradients import Gradients, example_losses
from training.machine import Energy
from training.metrics import Interval, Taught, paired_difference, style
from training.probes import Probe, probes
from training.ranks import Ranks
from training.recipe import Recipe
from training.run import Taught as Data
from training.run import choose_memory, teach
from training.verdict import judge

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two gave: losses in nats for each example, and replies."""

    losses: list[float]
    taught_losses: list[float]
    replies: list[Reply]
    probes: list[Reply]
    seconds: float


def compare(
    folder: Path, data_dir: Path, say: Say, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """All numbers and texts of the comparison; raises TrainingError or ModelUnavailable."""
    manifest = read_json(folder / MANIFEST)
    hashed = sha256(folder / WEIGHTS)
    if hashed != manifest.get("adapter_sha256"):
        raise TrainingError(
            f"{folder / WEIGHTS} is not the file that its manifest names: train it again."
        )
    recipe = recipes.build(manifest["recipe"], list(overrides))
    prepared = prepare(recipe.data, recipe.seed)
    if prepared.sha256 != manifest["data"]["sha256"]:
        raise TrainingError(
            "The data is not what this adapter was trained on, so what was held out cannot be "
            "told: bring the data back, or train again."
        )
    base = load_base(recipe.model, data_dir, Ranks(), say)
    data = teach(recipe, prepared, base.tokenizer)
    energy = Energy(base.device)
    questions, asked = _questions(data, recipe), probes(recipe.compare.probes)
    one, other = _sides(folder, recipe, base, data, questions, asked, say)
    return _result(manifest, recipe, base, data, questions, asked, one, other, energy.joules())


def _questions(data: Data, recipe: Recipe) -> list[Example]:
    """Held-out prompts, one a question, first turns first; taught ones if none is held out."""
    examples = data.held_out.examples or data.train.examples
    seen: dict[str, Example] = {}
    for example in sorted(examples, key=lambda one: len(one.prompt)):
        seen.setdefault(example.group, example)
    return list(seen.values())[: recipe.compare.prompts]


def _sides(
    folder: Path,
    recipe: Recipe,
    base: Base,
    data: Data,
    questions: Sequence[Example],
    asked: Sequence[Probe],
    say: Say,
) -> tuple[Side, Side]:
    from peft import PeftModel

    # Taught examples enough to see what is known by heart.
    taught = data.train.examples[:: max(1, len(data.train.examples) // 48)][:48]
    wrapped = PeftModel.from_pretrained(base.model, str(folder), is_trainable=False).eval()
    chosen = choose_memory(recipe, base, data.share, lambda _text: None)

    def side(name: str, *, with_adapter: bool) -> Side:
        say(f"Measuring {name}: {len(data.held_out.examples)} held-out replies' loss …")
        began = time.perf_counter()
        gradients = Gradients(
            Backbone(base.model, recompute=False), base.device, (), tokens=chosen.tokens,
            batching="length", ranks=Ranks(), say=say,
        )  # fmt: skip
        with nullcontext() if with_adapter else wrapped.disable_adapter():
            losses = example_losses(gradients, data.held_out.examples, base.device)
            known = example_losses(gradients, taught, base.device)
            say(f"  writing {len(questions) + len(asked)} replies …")
            part = recipe.compare
            written = replies(
                base.model, base.tokenizer,
                [*(q.prompt for q in questions), *(_asked(p) for p in asked)],
                new_tokens=part.new_tokens, width=part.width,
            )  # fmt: skip
        known = [loss / example.taught for loss, example in zip(known, taught, strict=True)]
        count = len(questions)
        return Side(losses, known, written[:count], written[count:], time.perf_counter() - began)

    with torch.no_grad():
        return side("the base", with_adapter=False), side("the adapter", with_adapter=True)


def _asked(probe: Probe) -> tuple[Turn, ...]:
    """Up to the person's last words."""
    turns = list(probe.turns)
    while turns[-1].role != "user":
        turns.pop()
    return tuple(turns)


def _result(
    manifest: dict[str, Any],
    recipe: Recipe,
    base: Base,
    data: Data,
    questions: Sequence[Example],
    asked: Sequence[Probe],
    one: Side,
    other: Side,
    joules: float | None,
) -> dict[str, Any]:
    known = Taught(example.reply for example in data.train.examples)
    held = data.held_out.examples
    difference = _difference(one, other, held)
    styles = [style(side.replies, known) for side in (one, other)]
    probed = [style(side.probes, known) for side in (one, other)]
    gap = _gap(other, held)
    verdict = judge(difference, gap, *styles, *probed)
    return {
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "adapter": recipe.name,
        "adapter_sha256": manifest["adapter_sha256"],
        "base": base.name,
        "demo": base.demo,
        "held_out": {
            "replies": len(held),
            "questions": len({example.group for example in held}),
            "base": _loss(one.losses, held),
            "adapter": _loss(other.losses, held),
            "difference": asdict(difference) if difference else None,
            "gap_to_taught": gap,
        },
        "style": {"base": styles[0].as_dict(), "adapter": styles[1].as_dict()},
        "probe_style": {"base": probed[0].as_dict(), "adapter": probed[1].as_dict()},
        "replies": [
            _beside(q.group, q.prompt, q.reply, a, b)
            for q, a, b in zip(questions, one.replies, other.replies, strict=True)
        ],
        "probes": [
            _beside(p.about, _asked(p), "", a, b)
            for p, a, b in zip(asked, one.probes, other.probes, strict=True)
        ],
        "seconds": {"base": round(one.seconds, 1), "adapter": round(other.seconds, 1)},
        "joules": joules,
        "manifest": manifest,
    }


def _difference(one: Side, other: Side, held: Sequence[Example]) -> Interval | None:
    if not held:
        return None
    tokens, groups = [e.taught for e in held], [e.group for e in held]
    return paired_difference(one.losses, other.losses, tokens, groups)


def _gap(side: Side, held: Sequence[Example]) -> float | None:
    """How much better taught replies are known than held-out ones, in nats a token."""
    if not held or not side.taught_losses:
        return None
    loss = _loss(side.losses, held)
    return None if loss is None else loss - sum(side.taught_losses) / len(side.taught_losses)


def _loss(losses: Sequence[float], held: Sequence[Example]) -> float | None:
    return sum(losses) / sum(e.taught for e in held) if held else None


def _beside(about: str, prompt: Sequence[Turn], wanted: str, a: Reply, b: Reply) -> dict[str, Any]:
    return {
        "about": about,
        "prompt": [{"role": turn.role, "text": turn.text} for turn in prompt],
        "reference": wanted,
        "base": asdict(a),
        "adapter": asdict(b),
    }
