"""The training loop: examples in, a fitted network out.

The network that is kept is the running mean of the one that learns: it errs
less on what it has not seen. Knows nothing of thresholds or reports.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from bot.safety.reading import Reader
from training.safety.examples import Example
from training.safety.loss import Pull, loss
from training.safety.net import Net, Shape, batch, build
from training.safety.windows import Row, Windows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a run depends on but the data."""

    seed: int = 7
    members: int = 2  # networks that are averaged, see soup.py
    epochs: int = 5
    rows: int = 32
    rate: float = 1e-3
    decay: float = 0.01
    drop: float = 0.1
    memory: float = 0.995  # of the running mean, each step
    pull: Pull = field(default_factory=Pull)
    shape: Shape = field(default_factory=Shape)


def learn(
    examples: Sequence[Example],
    reader: Reader,
    folder: Path,
    recipe: Recipe,
    keep: Path | None = None,
    member: int = 0,
) -> Net:
    """Fit the low-rank changes and the head; the same seed gives the same network.

    Members begin alike and see the messages in different dress and order.

    With `keep` each epoch is kept in that file, and a run that was ended goes on from it.
    """
    torch.manual_seed(recipe.seed)
    net = build(folder, recipe.shape, recipe.drop)
    mean = {name: value.clone() for name, value in net.state_dict().items()}
    optimiser, schedule = _optimiser(net, recipe, -(-len(examples) // recipe.rows))
    done = _resume(keep, recipe, net, optimiser, schedule, mean)
    windows = Windows(examples, reader)
    for epoch in range(done, recipe.epochs):
        dice = _dice(recipe, member, "epoch", epoch)
        torch.manual_seed(dice.getrandbits(32))
        net.train()
        total = 0.0
        for rows in windows.drawn(dice, recipe.rows):
            total += _step(net, rows, optimiser, recipe) * len(rows)
            schedule.step()
            _remember(mean, net, recipe.memory)
        log.info("epoch %d of %d: loss %.4f", epoch + 1, recipe.epochs, total / len(examples))
        if keep is not None:
            torch.save(_state(epoch + 1, recipe, net, optimiser, schedule, mean), keep)
            log.info("kept in %s", keep.name)
    net.load_state_dict(mean)
    return net.eval()


def _step(net: Net, rows: Sequence[Row], optimiser: Optimizer, recipe: Recipe) -> float:
    out, inner = net.both(*batch([row.tokens for row in rows]))
    wrong = loss(out, inner, [row.example for row in rows], recipe.pull)
    optimiser.zero_grad()
    wrong.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    return wrong.item()


@torch.no_grad()
def _remember(mean: dict[str, Tensor], net: Net, memory: float) -> None:
    for name, value in net.state_dict().items():
        mean[name].lerp_(value, 1 - memory)


def _dice(recipe: Recipe, *what: object) -> random.Random:
    return random.Random("/".join(map(str, (recipe.seed, *what))))  # noqa: S311 - for shuffling


def _state(
    epoch: int,
    recipe: Recipe,
    net: Net,
    optimiser: Optimizer,
    schedule: LRScheduler,
    mean: dict[str, Tensor],
) -> dict[str, Any]:
    parts: dict[str, Any] = {"net": net, "optimiser": optimiser, "schedule": schedule}
    states = {name: part.state_dict() for name, part in parts.items()}
    return {"epoch": epoch, "recipe": str(recipe), "mean": mean, **states}


def _resume(
    keep: Path | None,
    recipe: Recipe,
    net: Net,
    optimiser: Optimizer,
    schedule: LRScheduler,
    mean: dict[str, Tensor],
) -> int:
    """Epochs that are done already."""
    if keep is None or not keep.exists():
        return 0
    state = torch.load(keep, weights_only=True)
    if state["recipe"] != str(recipe):
        return 0
    for name, part in (("net", net), ("optimiser", optimiser), ("schedule", schedule)):
        part.load_state_dict(state[name])
    mean.update(state["mean"])
    log.info("going on after epoch %d", state["epoch"])
    return int(state["epoch"])


def logits(
    net: Net, examples: Sequence[Example], reader: Reader, rows: int = 32
) -> npt.NDArray[np.float32]:
    """[examples, LEVELS + categories]: those of each text's gravest window."""
    windows = [reader.windows(e.text, e.earlier) for e in examples]
    flat = [(i, window) for i, own in enumerate(windows) for window in own]
    flat.sort(key=lambda pair: len(pair[1].ids))
    best: dict[int, npt.NDArray[np.float32]] = {}
    with torch.inference_mode():
        for at in range(0, len(flat), rows):
            part = flat[at : at + rows]
            out = net(*batch([window for _, window in part])).numpy()
            for (i, _), row in zip(part, out, strict=True):
                if i not in best or row[1] > best[i][1]:
                    best[i] = row
    return np.stack([best[i] for i in range(len(examples))])


def _optimiser(net: Net, recipe: Recipe, steps: int) -> tuple[Optimizer, LRScheduler]:
    optimiser = AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    # One step more for each epoch: the last batches of pools may be short.
    total = (steps + 1) * recipe.epochs
    schedule = OneCycleLR(optimiser, max_lr=recipe.rate, total_steps=total, pct_start=0.1)
    return optimiser, schedule
