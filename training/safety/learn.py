"""The training loop: examples in, a fitted network out.

Each message is read in a few variants by the frozen layers once; the epochs
then go through the layers that learn. Knows nothing of thresholds or reports.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from bot.safety.encoder import Tokens
from bot.safety.reading import Reader
from training.safety.augment import varied
from training.safety.examples import CATEGORIES, Example
from training.safety.net import LEVELS, Net, Shape, batch, build

log = logging.getLogger(__name__)
NO_CATEGORY = -100  # cross entropy passes it over
LONGEST = 72  # tokens of a message in one step of training
PULL = (0.5, 1.0, 0.5)  # how much each level's loss counts; level 2 stops the model
MINGLED = 0.12  # share of messages that are read together with an ordinary one
_POOL = 16  # batches that are sorted by length together


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a run depends on but the data."""

    seed: int = 7
    epochs: int = 6
    variants: int = 2
    rows: int = 32
    rate: float = 1.5e-3
    decay: float = 0.01
    drop: float = 0.1
    smoothing: float = 0.02
    shape: Shape = field(default_factory=Shape)


@dataclass(frozen=True, slots=True)
class Row:
    """A message as the frozen layers see it: `hidden` [tokens, width], half precision."""

    example: Example
    tokens: Tokens
    hidden: Tensor


def learn(
    examples: Sequence[Example],
    reader: Reader,
    folder: Path,
    recipe: Recipe,
    keep: Path | None = None,
) -> Net:
    """Fit the low-rank changes and the head; the same seed gives the same network.

    With `keep` each epoch is kept in that file, and a run that was ended goes on from it.
    """
    torch.manual_seed(recipe.seed)
    net = build(folder, recipe.shape, recipe.drop)
    optimiser, schedule = _optimiser(net, recipe, -(-len(examples) // recipe.rows))
    done = _resume(keep, recipe, net, optimiser, schedule)
    if done < recipe.epochs:
        read = [
            _read(net, examples, reader, _dice(recipe, "read", n)) for n in range(recipe.variants)
        ]
        log.info("read %d messages in %d variants", len(examples), recipe.variants)
    for epoch in range(done, recipe.epochs):
        dice = _dice(recipe, "epoch", epoch)
        torch.manual_seed(dice.getrandbits(32))
        net.train()
        rows = [dice.choice(variants) for variants in zip(*read, strict=True)]
        total = 0.0
        for chosen in _batches(rows, recipe.rows, dice):
            loss = _loss(net, chosen, recipe.smoothing)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        log.info("epoch %d of %d: loss %.4f", epoch + 1, recipe.epochs, total / len(examples))
        if keep is not None:
            torch.save(_state(epoch + 1, recipe, net, optimiser, schedule), keep)
    return net.eval()


def _dice(recipe: Recipe, *what: object) -> random.Random:
    return random.Random("/".join(map(str, (recipe.seed, *what))))  # noqa: S311 - for shuffling


def _state(
    epoch: int, recipe: Recipe, net: Net, optimiser: Optimizer, schedule: LRScheduler
) -> dict[str, Any]:
    parts: dict[str, Any] = {"net": net, "optimiser": optimiser, "schedule": schedule}
    states = {name: part.state_dict() for name, part in parts.items()}
    return {"epoch": epoch, "recipe": str(recipe), **states}


def _resume(
    keep: Path | None, recipe: Recipe, net: Net, optimiser: Optimizer, schedule: LRScheduler
) -> int:
    """Epochs that are done already."""
    if keep is None or not keep.exists():
        return 0
    state = torch.load(keep, weights_only=True)
    if state["recipe"] != str(recipe):
        return 0
    for name, part in (("net", net), ("optimiser", optimiser), ("schedule", schedule)):
        part.load_state_dict(state[name])
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


def _read(
    net: Net, examples: Sequence[Example], reader: Reader, random_: random.Random
) -> list[Row]:
    """Each message, as other thumbs would have written it, through the frozen layers."""
    net.eval()
    quiet = [e.text for e in examples if e.level == 0 and len(e.text) < 120]
    windows = [_window(e, quiet, reader, random_) for e in examples]
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].ids))
    hidden: dict[int, Tensor] = {}
    for at in range(0, len(order), 32):
        part = order[at : at + 32]
        out = net.lower(*batch([windows[i] for i in part])).half()
        for row, i in enumerate(part):
            hidden[i] = out[row, : len(windows[i].ids)].clone()
    return [Row(e, w, hidden[i]) for i, (e, w) in enumerate(zip(examples, windows, strict=True))]


def _window(
    example: Example, quiet: Sequence[str], reader: Reader, random_: random.Random
) -> Tokens:
    """One window of the message, cut to LONGEST; now and then in the midst of ordinary talk."""
    text = varied(example.text, random_)
    if not example.earlier and random_.random() < MINGLED:
        text = random_.choice(["{0} {1}", "{1} {0}"]).format(text, random_.choice(quiet))
    window = random_.choice(reader.windows(text, example.earlier))
    if len(window.ids) - window.start <= LONGEST:
        return window
    return Tokens((*window.ids[: window.start + LONGEST - 1], window.ids[-1]), window.start)


def _batches(rows: list[Row], size: int, random_: random.Random) -> Iterable[list[Row]]:
    """Shuffled, then of like length together, so that little is padding."""
    random_.shuffle(rows)
    found = []
    for at in range(0, len(rows), size * _POOL):
        pool = sorted(rows[at : at + size * _POOL], key=lambda row: len(row.tokens.ids))
        found += [pool[i : i + size] for i in range(0, len(pool), size)]
    random_.shuffle(found)
    return found


def _loss(net: Net, rows: list[Row], smoothing: float) -> Tensor:
    ids, own = batch([row.tokens for row in rows])
    hidden = nn.utils.rnn.pad_sequence([row.hidden.float() for row in rows], batch_first=True)
    out = net.upper(hidden, ids != 0, own)
    chosen = [row.example for row in rows]
    weight = torch.tensor([e.weight for e in chosen])
    targets = torch.tensor([[float(e.level > i) for i in range(LEVELS)] for e in chosen])
    targets = targets * (1 - 2 * smoothing) + smoothing
    levels = functional.binary_cross_entropy_with_logits(out[:, :LEVELS], targets, reduction="none")
    kinds = torch.tensor(
        [NO_CATEGORY if e.category is None else CATEGORIES.index(e.category) for e in chosen]
    )
    category = functional.cross_entropy(out[:, LEVELS:], kinds, reduction="none")
    loss: Tensor = ((levels * torch.tensor(PULL)).sum(1) * weight + 0.3 * category * weight).mean()
    return loss
