"""The training loop: examples in, a fitted network out.

Knows nothing of thresholds or reports.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bot.safety.encoder import Tokens
from bot.safety.reading import Reader
from training.safety.augment import varied
from training.safety.examples import CATEGORIES, Example
from training.safety.net import LEVELS, Net, Shape, batch, build

log = logging.getLogger(__name__)
NO_CATEGORY = -100  # cross entropy passes it over
LONGEST = 72  # tokens of a message in one step of training
PULL = (0.5, 1.0, 0.5)  # how much each level's loss counts; level 2 stops the model
Row: TypeAlias = "tuple[Example, Tokens]"


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a run depends on but the data."""

    seed: int = 7
    epochs: int = 6
    rows: int = 32
    rate: float = 1e-3
    head_rate: float = 1e-3
    decay: float = 0.01
    drop: float = 0.1
    smoothing: float = 0.02
    shape: Shape = Shape()


def learn(
    examples: Sequence[Example],
    reader: Reader,
    folder: Path,
    recipe: Recipe,
    after_epoch: Callable[[int, Net], None] = lambda _epoch, _net: None,
) -> Net:
    """Fit the low-rank changes and the head; the same seed gives the same network."""
    torch.manual_seed(recipe.seed)
    random_ = random.Random(recipe.seed)  # noqa: S311 - for shuffling
    net = build(folder, recipe.shape, recipe.drop)
    steps = recipe.epochs * -(-len(examples) // recipe.rows)
    optimiser = torch.optim.AdamW(_groups(net, recipe), weight_decay=recipe.decay)
    rates = [group["lr"] for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rates, total_steps=steps, pct_start=0.1
    )
    for epoch in range(recipe.epochs):
        net.train()
        total = 0.0
        rows = [(e, _read(e, reader, random_)) for e in examples]
        for chosen in _batches(rows, recipe.rows, random_):
            loss = _loss(net, chosen, recipe.smoothing)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        log.info("epoch %d: loss %.4f", epoch + 1, total / len(examples))
        net.eval()
        after_epoch(epoch + 1, net)
    return net.eval()


def logits(
    net: Net, examples: Sequence[Example], reader: Reader, rows: int = 64
) -> npt.NDArray[np.float32]:
    """[examples, LEVELS + categories]: the largest level logits over each text's windows."""
    windows = [reader.windows(e.text, e.earlier) for e in examples]
    flat = [(i, w) for i, own in enumerate(windows) for w in own]
    flat.sort(key=lambda pair: len(pair[1].ids))
    best: dict[int, npt.NDArray[np.float32]] = {}
    with torch.inference_mode():
        for at in range(0, len(flat), rows):
            part = flat[at : at + rows]
            out = net(*batch([w for _, w in part])).numpy()
            for (i, _), row in zip(part, out, strict=True):
                if i not in best or row[1] > best[i][1]:
                    best[i] = row
    return np.stack([best[i] for i in range(len(examples))])


def _groups(net: Net, recipe: Recipe) -> list[dict[str, object]]:
    head = [*net.first.parameters(), *net.second.parameters()]
    known = {id(p) for p in head}
    body = [p for p in net.parameters() if p.requires_grad and id(p) not in known]
    return [{"params": body, "lr": recipe.rate}, {"params": head, "lr": recipe.head_rate}]


def _read(example: Example, reader: Reader, random_: random.Random) -> Tokens:
    """One window of the message as other thumbs would have written it, cut to LONGEST."""
    window = random_.choice(reader.windows(varied(example.text, random_), example.earlier))
    if len(window.ids) - window.start <= LONGEST:
        return window
    return Tokens((*window.ids[: window.start + LONGEST - 1], window.ids[-1]), window.start)


def _batches(rows: list[Row], size: int, random_: random.Random) -> list[list[Row]]:
    """Shuffled, then of like length together, so that little is padding."""
    random_.shuffle(rows)
    found = []
    for at in range(0, len(rows), size * 16):
        pool = sorted(rows[at : at + size * 16], key=lambda row: len(row[1].ids))
        found += [pool[i : i + size] for i in range(0, len(pool), size)]
    random_.shuffle(found)
    return found


def _loss(net: Net, rows: list[Row], smoothing: float) -> Tensor:
    out = net(*batch([tokens for _, tokens in rows]))
    chosen = [example for example, _ in rows]
    weight = torch.tensor([e.weight for e in chosen])
    targets = torch.tensor([[float(e.level > i) for i in range(LEVELS)] for e in chosen])
    targets = targets * (1 - 2 * smoothing) + smoothing
    levels = nn.functional.binary_cross_entropy_with_logits(
        out[:, :LEVELS], targets, reduction="none"
    )
    kinds = torch.tensor(
        [NO_CATEGORY if e.category is None else CATEGORIES.index(e.category) for e in chosen]
    )
    category = nn.functional.cross_entropy(out[:, LEVELS:], kinds, reduction="none")
    loss: Tensor = ((levels * torch.tensor(PULL)).sum(1) * weight + 0.3 * category * weight).mean()
    return loss
