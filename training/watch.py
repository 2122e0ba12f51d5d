"""Who looks on while a run goes: a progress bar, a history file, curves, samples.

Knows the run's numbers and how to show them; changes nothing in the run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from training.adapter import write_file
from training.loop import Progress

WIDTH, QUIET_EVERY_S = 24, 10.0


class Bar:
    """One line that is written over; without a terminal, a line now and then."""

    def __init__(self, steps: int, out: TextIO = sys.stderr) -> None:
        self._steps, self._out, self._said = steps, out, 0.0
        self._live = out.isatty()

    def stepped(self, progress: Progress) -> None:
        """Redraw."""
        now = time.monotonic()
        done = progress.step == self._steps
        if not self._live and not done and now - self._said < QUIET_EVERY_S:
            return
        self._said = now
        self._write(line(progress, self._steps))

    def evaluated(self, progress: Progress) -> None:
        """A line that stays."""
        one = progress.evaluations[-1]
        best = " (best so far)" if progress.best_step == one["step"] else ""
        end = "\n" if self._live else ""
        self._out.write("\r\033[K" if self._live else "")
        self._out.write(f"step {one['step']:.0f}: held-out loss {one['loss']:.3f}{best}{end}")
        if not self._live:
            self._out.write("\n")
        if progress.stopped_early:
            self._out.write(f"Stopped early: nothing better since step {progress.best_step}.\n")
        self._out.flush()

    def _write(self, text: str) -> None:
        self._out.write(f"\r\033[K{text}" if self._live else f"{text}\n")
        self._out.flush()


def line(progress: Progress, steps: int) -> str:
    """Bar, step, loss, speed, time left."""
    full = WIDTH * progress.step // steps
    recent = progress.steps[-10:]
    took = sum(one["seconds"] for one in recent)
    speed = sum(one["tokens"] for one in recent) / max(took, 1e-9)
    left = (steps - progress.step) * took / len(recent)
    bar = "█" * full + "░" * (WIDTH - full)
    return (
        f"{bar} {progress.step}/{steps}  loss {recent[-1]['loss']:.3f}  "
        f"{speed:,.0f} tokens/s  {clock(left)} left"
    )


def clock(seconds: float) -> str:
    """As 0:42, 12:05 or 3:02:09."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class History:
    """history.json and loss.png, renewed at every evaluation and at the end."""

    def __init__(self, folder: Path, title: str) -> None:
        self._folder, self._title = folder, title

    def stepped(self, progress: Progress) -> None:
        """Nothing: files are renewed at evaluations."""

    def evaluated(self, progress: Progress) -> None:
        """Renew both files."""
        self.write(progress)

    def write(self, progress: Progress) -> None:
        """Renew both files now."""
        numbers = {"steps": progress.steps, "evaluations": progress.evaluations}
        write_file(self._folder / "history.json", json.dumps(numbers))
        image = loss_png(progress, self._title)
        if image is not None:
            write_file(self._folder / "loss.png", image)


def loss_png(progress: Progress, title: str) -> bytes | None:
    """The curves as PNG; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    import io

    figure = Figure(figsize=(7, 3.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*_xy(progress.steps), color="#7a8fb5", linewidth=1.2, label="taught (each step)")
    if progress.evaluations:
        axes.plot(*_xy(progress.evaluations), "o-", color="#b5532a", markersize=4, label="held out")
        axes.axvline(progress.best_step, color="#b5532a", linewidth=0.8, linestyle=":")
    axes.set(xlabel="step", ylabel="loss, nats a token", title=title)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _xy(points: Sequence[dict[str, float]]) -> tuple[list[float], list[float]]:
    return [one["step"] for one in points], [one["loss"] for one in points]


class Board:
    """TensorBoard, where it is installed."""

    def __init__(self, folder: Path) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder))

    def stepped(self, progress: Progress) -> None:
        """Loss, rate, norm and speed."""
        one = progress.steps[-1]
        self._add("loss/taught", one["loss"], one["step"])
        self._add("rate", one["rate"], one["step"])
        self._add("gradient norm", one["norm"], one["step"])
        self._add("tokens per second", one["tokens"] / max(one["seconds"], 1e-9), one["step"])

    def evaluated(self, progress: Progress) -> None:
        """The held-out loss."""
        one = progress.evaluations[-1]
        self._add("loss/held out", one["loss"], one["step"])
        if self._writer is not None:
            self._writer.flush()

    def _add(self, name: str, value: float, step: float) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, int(step))


class Samples:
    """Replies to a few held-out prompts at every evaluation, into samples.jsonl."""

    def __init__(
        self,
        path: Path,
        prompts: Sequence[str],
        write: Callable[[], list[str]],
        say: Callable[[str], None],
    ) -> None:
        self._path, self._prompts, self._write, self._say = path, prompts, write, say

    def stepped(self, progress: Progress) -> None:
        """Nothing."""

    def evaluated(self, progress: Progress) -> None:
        """Write and show."""
        step = int(progress.evaluations[-1]["step"])
        replies = self._write()
        with self._path.open("a", encoding="utf-8") as file:
            for prompt, reply in zip(self._prompts, replies, strict=True):
                file.write(json.dumps({"step": step, "prompt": prompt, "reply": reply}) + "\n")
        self._say(f"  asked: {_short(self._prompts[0])}\n  wrote: {_short(replies[0])}")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 160 else flat[:159] + "…"
