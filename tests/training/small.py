"""A tiny Falcon in a folder, random examples, and a recipe that trains in a second."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from tests.model import tiny
from training import recipe as recipes
from training.backbone import Backbone
from training.examples import Example
from training.gradients import Gradients
from training.lora import parameters, wrap
from training.ranks import Ranks
from training.recipe import LoraPart, Recipe

CPU = torch.device("cpu")


def save_base(folder: Path) -> Path:
    tiny.falcon().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def recipe(base: Path, *overrides: str) -> Recipe:
    values = {
        "name": "small",
        "model": {"base": str(base)},
        "data": {"sources": ["helios172"], "max_length": 96},
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
        "fit": {
            "steps": 6,
            "batch": 6,
            "micro_batch": 2,
            "rate": 1e-2,
            "eval_every": 2,
            "save_every": 2,
            "samples": 0,
        },
        "compare": {"prompts": 3, "probes": 4, "new_tokens": 12, "after_fit": False},
    }
    return recipes.build(values, overrides)


def examples(count: int, seed: int = 0, longest: int = 60) -> list[Example]:
    rng = random.Random(seed)
    found = []
    for number in range(count):
        length = rng.randint(12, longest)
        ids = tuple(rng.choices(range(1, 257), k=length))
        found.append(Example(ids, rng.randint(1, length - 4), f"g{number}", (), ""))
    return found


def taught_falcon(
    dropout: float = 0.0, tokens: int = 10_000, batching: Any = "length", *, recompute: bool = False
) -> tuple[Any, dict[str, torch.nn.Parameter], Gradients]:
    """A tiny Falcon with LoRA whose B is not zero, so that every gradient is."""
    model = tiny.falcon()
    torch.manual_seed(1)
    named = dict(parameters(wrap(model, LoraPart(4, 8, dropout))))
    for name, parameter in named.items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    gradients = Gradients(
        Backbone(model, recompute=recompute), CPU, list(named.values()), tokens=tokens,
        batching=batching, ranks=Ranks(), say=lambda _text: None,
    )  # fmt: skip
    model.train()
    return model, named, gradients


def copies(named: dict[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in named.items() if p.grad is not None}
