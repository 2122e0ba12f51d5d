"""The training loop: examples in, a fitted network out.

The network that is kept is the running mean of the one that learns: it errs
less on what it has not seen. Knows nothing of thresholds or reports.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import AdamW

from bot.safety.classifier import together
from bot.safety.reading import Reader
from training.safety.examples import Example, emphasised
from training.safety.loss import Pull, distance, loss
from training.safety.net import Net, Shape, batch, build
from training.safety.windows import Row, Windows

log = logging.getLogger(__name__)
_WARM = 0.05  # of a run, until the full learning rate


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a run depends on but the data."""

    seed: int = 7
    members: int = 8  # networks that are averaged, see soup.py
    kept: int = 32  # rank of their mean
    epochs: int = 5
    rows: int = 32
    rate: float = 1e-3
    decay: float = 0.01
    drop: float = 0.1
    memory: float = 0.995  # of the running mean, each step
    hard: float = 0.5  # see examples.emphasised
    pull: Pull = field(default_factory=Pull)
    shape: Shape = field(default_factory=Shape)


@dataclass(frozen=True, slots=True)
class Recipes:
    """Of the two readers. The first learns from the second, for longer and of rougher texts."""

    second: Recipe = Recipe(epochs=6, rate=3e-4, members=4, shape=Shape(rank=32))
    first: Recipe = Recipe(epochs=11, rows=96, rate=7e-4, members=4, kept=64, shape=Shape(rank=32))


def learn(
    examples: Sequence[Example],
    reader: Reader,
    folder: Path,
    recipe: Recipe,
    keep: Path | None = None,
    member: int = 0,
    teacher: Net | None = None,
) -> Net:
    """Fit the low-rank changes and the head; the same seed gives the same network.

    With a `teacher` it learns what that network says, of rougher texts too, instead of labels.

    Members begin alike and see the messages in different dress and order. With `keep` each
    epoch is kept in that file, and a run that was ended goes on from it.
    """
    torch.manual_seed(recipe.seed)
    net = build(folder, recipe.shape, recipe.drop, device())
    told = emphasised(examples, recipe.hard)
    run = _Run(recipe, net, Windows(told, reader, roughly=teacher is not None), teacher)
    done = run.resume(keep)
    for epoch in range(done, recipe.epochs):
        dice = _dice(recipe, member, "epoch", epoch)
        torch.manual_seed(dice.getrandbits(32))
        log.info("epoch %d of %d: loss %.4f", epoch + 1, recipe.epochs, run.epoch(dice))
        if keep is not None:
            torch.save(run.state(epoch + 1), keep)
            log.info("kept in %s", keep.name)
    net.load_state_dict(run.mean)
    return net.eval()


class _Run:
    """What changes while a network learns, and can be kept."""

    def __init__(
        self, recipe: Recipe, net: Net, windows: Windows, teacher: Net | None = None
    ) -> None:
        self.recipe, self.net, self.windows, self.teacher = recipe, net, windows, teacher
        self.device = next(net.parameters()).device
        self.mean = {name: value.clone() for name, value in net.state_dict().items()}
        self.optimiser = AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
        self.done = 0.0  # epochs

    def resume(self, keep: Path | None) -> int:
        """Go on from what is kept; the number of epochs that are done already."""
        if keep is None or not keep.exists():
            return 0
        state = _load(keep)
        if state["recipe"] != str(self.recipe):
            return 0
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.mean, self.windows.wrong, self.done = state["mean"], state["wrong"], state["done"]
        log.info("going on after epoch %d", state["epoch"])
        return int(state["epoch"])

    def state(self, epoch: int) -> dict[str, Any]:
        """All that `resume` needs."""
        parts = {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict()}
        more = {"mean": self.mean, "wrong": self.windows.wrong, "done": self.done}
        return {"epoch": epoch, "recipe": str(self.recipe), **parts, **more}

    def epoch(self, dice: random.Random) -> float:
        """One pass over what is drawn; the mean loss."""
        self.net.train()
        total = 0.0
        batches = self.windows.drawn(dice, self.recipe.rows)
        for rows in batches:
            total += self._learn(rows, 1 / len(batches))
        return total / sum(map(len, batches))

    def _wrong(self, rows: Sequence[Row]) -> torch.Tensor:
        texts = batch([row.tokens for row in rows], self.device)
        out: torch.Tensor = self.net(*texts)
        if self.teacher is None:
            return loss(out, [row.example for row in rows], self.recipe.pull)
        with torch.no_grad():
            wanted = self.teacher(*texts)
        return distance(out, wanted, self.recipe.pull)

    def _learn(self, rows: Sequence[Row], share: float) -> float:
        """`share`: of an epoch."""
        wrong = self._wrong(rows)
        self.optimiser.zero_grad()
        wrong.mean().backward()  # type: ignore[no-untyped-call]
        # One step whose gradient is no number would spoil all that was learnt.
        if not nn.utils.clip_grad_norm_(self.net.parameters(), 1.0).isfinite():
            log.warning("a step was left out: its gradient is no number")
            return float(wrong.nansum().item())
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * _pace(self.done / self.recipe.epochs)
        self.optimiser.step()
        self.done += share
        state = self.net.state_dict()
        torch._foreach_lerp_(
            [self.mean[name] for name in state], list(state.values()), 1 - self.recipe.memory
        )
        for row, each in zip(rows, wrong.tolist(), strict=True):
            self.windows.wrong[row.at] = each
        return float(wrong.sum().item())


def device() -> torch.device:
    """Where networks learn: a GPU learns in a minute what two cores learn in an hour."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _load(path: Path) -> dict[str, Any]:
    return dict(torch.load(path, weights_only=True, map_location=device()))


def _dice(recipe: Recipe, *what: object) -> random.Random:
    return random.Random("/".join(map(str, (recipe.seed, *what))))  # noqa: S311 - for shuffling


def logits(
    net: Net, examples: Sequence[Example], reader: Reader, rows: int = 32
) -> npt.NDArray[np.float32]:
    """[examples, LEVELS + categories]: those of each text's windows together."""
    windows = [reader.windows(e.text, e.earlier) for e in examples]
    flat = [(i, window) for i, own in enumerate(windows) for window in own]
    flat.sort(key=lambda pair: len(pair[1].ids))
    found: list[list[torch.Tensor]] = [[] for _ in examples]
    where = next(net.parameters()).device
    with torch.inference_mode():
        for at in range(0, len(flat), rows):
            part = flat[at : at + rows]
            out = net(*batch([window for _, window in part], where)).cpu()
            for (i, _), row in zip(part, out, strict=True):
                found[i].append(row)
        return np.stack([together(torch.stack(each)).numpy() for each in found])


def _pace(done: float) -> float:
    """The share of the full learning rate: up in the first twentieth, then down to nothing."""
    if done < _WARM:
        return done / _WARM
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM) / (1 - _WARM)))
