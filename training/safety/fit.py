"""One command from written messages to the classifier that the gate loads.

Thresholds come from development data; held-out themes and styles are only
measured. Knows the order of the steps, nothing of their arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from bot.safety.classifier import encoder_folder
from bot.safety.reading import Reader
from bot.safety.rules import RuleBook
from bot.safety.words import Words
from training.safety import calibrate
from training.safety.examples import SPLITS, Example, shared, supportive, written
from training.safety.learn import Recipe, Recipes, learn, logits
from training.safety.led import led_up_to
from training.safety.limits import Found, Parts, manifest
from training.safety.net import Net
from training.safety.reach import reach
from training.safety.ship import ship
from training.safety.soup import soup

SHIPPED = Path(str(files("bot.safety") / "data" / "classifier"))
_EVERY = 24  # of the messages, to see how large inputs get
_LOST = 0.03  # of the area under the curve, below the best of the members


def reader() -> Reader:
    """Reads as the gate does."""
    return Reader(encoder_folder() / "tokenizer.json", Words(RuleBook.load().vocabulary()))


def fit(
    data: Path | None,
    recipes: Recipes,
    say: Callable[[str], None],
    out: Path = SHIPPED,
    keep: Path | None = None,
    big: Path | None = None,
) -> list[str]:
    """Train, calibrate, ship; the versions. `data` is the folder of the two shared sets.

    `big` is the folder of the second reader's encoder: it learns from the labels, and the first
    from it. Without it only the first is made, from the labels. `keep` is a file of learn.py.
    """
    parts = _parts(data)
    say(f"{len(parts['train'])} messages and turns to learn from, {len(parts['dev'])} to choose "
        f"thresholds on, {len(parts['holdout'])} held out.")  # fmt: skip
    read, small = reader(), encoder_folder()
    second = _learnt(parts, read, big, recipes.second, _named(keep, "second")) if big else None
    first = _learnt(parts, read, small, recipes.first, _named(keep, "first"), second)
    found = Found.of(first, parts, read)
    pages = [(first, manifest(found, parts, read, recipes.first, small), out)]
    if second and big:
        both = Found.of(second, parts, read).after(found, parts, read)
        pages.append((second, manifest(both, parts, read, recipes.second, big), beside(out)))
    windows = [w for e in parts["train"][::_EVERY] for w in read.windows(e.text, e.earlier)]
    versions = [ship(net, page, to, reach(net, windows)) for net, page, to in pages]
    say(f"Wrote {' and '.join(versions)}.")
    return versions


def beside(out: Path) -> Path:
    """Where the second reader is written."""
    return out.with_name("second")


def _parts(data: Path | None) -> Parts:
    examples = written() + supportive() + (shared(data) if data else [])
    parts = {split: [e for e in examples if e.split == split] for split in SPLITS}
    parts["dev"] += led_up_to([e for e in parts["dev"] if e.plain])
    return parts


def _learnt(
    parts: Parts,
    read: Reader,
    folder: Path,
    recipe: Recipe,
    keep: Path | None,
    teacher: Net | None = None,
) -> Net:
    """The mean of the members, without those that came to nothing."""
    nets = [
        learn(parts["train"], read, folder, recipe, _named(keep, str(m)), m, teacher=teacher)
        for m in range(recipe.members)
    ]
    return soup(sound(nets, parts["dev"][::_EVERY], read), folder, recipe.kept)


def sound(nets: Sequence[Net], some: Sequence[Example], read: Reader) -> list[Net]:
    """Those that learnt about as much as the best: at a high rate one may be lost on its way."""
    truth = np.array([e.level > 1 for e in some])
    areas = [calibrate.area(logits(net, some, read)[:, 1].astype(float), truth) for net in nets]
    return [net for net, area in zip(nets, areas, strict=True) if area > max(areas) - _LOST]


def _named(keep: Path | None, name: str) -> Path | None:
    return keep.with_name(f"{keep.name}.{name}") if keep else None
