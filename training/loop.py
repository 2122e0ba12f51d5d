"""The training loop: step, evaluate, stop early, save, go on where it was killed.

A step depends on (recipe, data, step number) and the tensors alone: dropout's
seeds and the examples' order follow from the step's number, so a resumed run
has the same losses as one that was never cut. Knows parameters and losses;
knows nothing of Falcon, files' formats or screens.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from training.batches import step_examples
from training.checkpoint import Checkpoints
from training.errors import TrainingError
from training.examples import Example
from training.gradients import Gradients, example_losses
from training.optimise import load_state, optimiser, rate_at, state_tensors
from training.ranks import Ranks
from training.recipe import Recipe


@dataclass(slots=True)
class Progress:
    """The numbers of a run; all of it goes into a checkpoint."""

    step: int = 0
    steps: list[dict[str, float]] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    best_loss: float = math.inf
    stale: int = 0
    seconds: float = 0.0
    stopped_early: bool = False


class Watcher(Protocol):
    """Who looks on: a bar, plots, samples."""

    def stepped(self, progress: Progress) -> None:
        """After every step."""

    def evaluated(self, progress: Progress) -> None:
        """After every evaluation."""


class Loop:
    """One run over `examples`; `trained` are the adapter's parameters by name."""

    def __init__(
        self,
        recipe: Recipe,
        model: torch.nn.Module,
        trained: dict[str, torch.nn.Parameter],
        gradients: Gradients,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        *,
        device: torch.device,
        checkpoints: Checkpoints,
        ranks: Ranks,
        watchers: Sequence[Watcher] = (),
        half: bool = False,
        marks: dict[str, Any] | None = None,
    ) -> None:
        self._recipe, self._fit, self._model = recipe, recipe.fit, model
        self._trained, self._gradients = trained, gradients
        self._examples, self._held_out = examples, held_out
        self._device, self._checkpoints, self._ranks = device, checkpoints, ranks
        self.watchers, self._marks = list(watchers), marks or {}
        self._optimiser = optimiser(list(trained.values()), recipe.fit, device)
        # fp16 gradients vanish unless the loss is made larger; bf16 and fp32 need nothing.
        self._scale, self._half = (2.0**14 if half else 1.0), half
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}

    def run(self) -> Progress:
        """Go on to the last step, or stop early."""
        progress = self.progress
        if progress.step == 0 and self._held_out:
            self._evaluate()
        while progress.step < self._fit.steps and not progress.stopped_early:
            began = time.perf_counter()
            self._one(progress.step)
            progress.step += 1
            progress.seconds += time.perf_counter() - began
            self._tell("stepped")
            last = progress.step == self._fit.steps
            if self._held_out and (last or progress.step % self._fit.eval_every == 0):
                self._evaluate()
            done = last or progress.stopped_early
            if done or progress.step % self._fit.save_every == 0:
                self._save()
        return progress

    def result(self) -> dict[str, torch.Tensor]:
        """The adapter to keep: the best on held-out data, or the last."""
        if self._fit.patience and self.best:
            return self.best
        return self._copy()

    def _one(self, step: int) -> None:
        fit, began = self._fit, time.perf_counter()
        self._model.train()
        seed = step * 7919 + self._recipe.seed * 1_000_003 + self._ranks.index
        torch.manual_seed(seed)
        chosen = step_examples(step, fit.batch, len(self._examples), self._recipe.seed)
        loss = self._gradients.step(self._examples, chosen, self._scale)
        norm = self._update(rate_at(step, fit))
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is not a number at step {step + 1}: lower fit.rate; the last checkpoint "
                "stays and can be resumed."
            )
        taken = time.perf_counter() - began
        self.progress.steps.append(
            {
                "step": step + 1,
                "loss": loss,
                "rate": rate_at(step, fit),
                "norm": norm,
                "tokens": sum(len(self._examples[index]) for index in chosen),
                "seconds": taken,
            }
        )

    def _update(self, rate: float) -> float:
        parameters = list(self._trained.values())
        if self._scale != 1.0:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad /= self._scale
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._fit.clip))
        if math.isfinite(norm):
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            self._optimiser.step()
        elif self._half:
            # Too large for fp16: this step is lost, the next ones are scaled less.
            self._scale = max(1.0, self._scale / 2)
        else:
            raise TrainingError("The gradient is not a number: lower fit.rate and resume.")
        self._gradients.forget()
        return norm

    def _evaluate(self) -> None:
        progress, loss = self.progress, self.held_out_loss()
        progress.evaluations.append({"step": progress.step, "loss": loss})
        if loss < progress.best_loss:
            progress.best_loss, progress.best_step, progress.stale = loss, progress.step, 0
            self.best = self._copy()
        else:
            progress.stale += 1
            progress.stopped_early = 0 < self._fit.patience <= progress.stale
        self._tell("evaluated")

    def held_out_loss(self) -> float:
        """Mean loss a taught token, in nats."""
        self._model.eval()
        losses = example_losses(self._gradients, self._held_out, self._device)
        return sum(losses) / sum(example.taught for example in self._held_out)

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().to("cpu", copy=True) for name, p in self._trained.items()}

    def _tell(self, what: str) -> None:
        if self._ranks.first:
            for watcher in self.watchers:
                getattr(watcher, what)(self.progress)

    def _save(self) -> None:
        if self._ranks.first:
            progress = {name: getattr(self.progress, name) for name in Progress.__slots__}
            more = {
                "scale": self._scale,
                "tokens": self._gradients.tokens,
                "recompute": self._gradients.backbone.recompute,
            }
            tensors = {
                "adapter": self._copy(),
                "best": self.best or self._copy(),
                "optimiser": state_tensors(self._optimiser),
            }
            self._checkpoints.save(
                self.progress.step, tensors, {"progress": progress, **more, **self._marks}
            )
        self._ranks.wait()

    def resume(self) -> None:
        """Take up the newest checkpoint; raises TrainingError when it is of another run."""
        state, tensors = self._checkpoints.load(("adapter", "best", "optimiser"))
        for mark, value in self._marks.items():
            if state.get(mark) != value:
                raise TrainingError(
                    f"The checkpoint was made with another {mark}: give this run a new name, or "
                    "resume it with what it began with."
                )
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(tensors["adapter"][name])
        load_state(self._optimiser, tensors["optimiser"])
        self.progress, self.best = Progress(**state["progress"]), tensors["best"]
        self._scale = float(state["scale"])
        self._gradients.tokens = int(state["tokens"])
        self._gradients.backbone.recompute = bool(state["recompute"])
