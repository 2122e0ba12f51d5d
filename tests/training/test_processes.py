"""Training as the processes that an operator starts: killed in a step, or two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training import small
from training.run import Places, fit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PATIENCE_S = 180
# Without dropout: two processes draw other masks than one.
OPTIONS = ("fit.steps=5", "fit.save_every=1", "fit.eval_every=5", "lora.dropout=0")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's file that trains a tiny Falcon."""
    folder = tmp_path_factory.mktemp("recipe")
    base = small.save_base(folder / "base")
    path = folder / "small.yaml"
    values = small.recipe(base, *OPTIONS).as_dict()
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def alone(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of one process that nobody disturbs."""
    places = Places(tmp_path_factory.mktemp("alone"), "small")
    fit(small.recipe(recipe.parent / "base", *OPTIONS), places, lambda _text: None)
    return losses(places)


def losses(places: Places) -> list[float]:
    history = json.loads((places.run / "history.json").read_text())
    return [one["loss"] for one in history["steps"]]


def started(recipe: Path, data: Path, command: str, *launcher: str, **more: str) -> Any:
    words = [sys.executable, *launcher, "-m", "training", command]
    words += ["--recipe", str(recipe), "--data-dir", str(data)]
    environment = dict(os.environ) | {"OMP_NUM_THREADS": "1"} | more
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(process: Any) -> str:
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return str(said)


def test_a_run_that_was_killed_in_a_step_goes_on_with_the_same_losses(
    recipe: Path, alone: list[float], tmp_path: Path
) -> None:
    places = Places(tmp_path, "small")
    newest = places.run / "checkpoints" / "step-000002"
    process = started(recipe, tmp_path, "fit")
    end = time.monotonic() + PATIENCE_S
    while not newest.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    assert not places.adapter.exists()
    ended(started(recipe, tmp_path, "resume"))
    assert losses(places) == alone
    assert places.adapter.exists()


@pytest.mark.parametrize("shard", ["", "1"])
def test_two_processes_walk_as_one_does_whether_the_base_is_sharded_or_not(
    recipe: Path, alone: list[float], tmp_path: Path, shard: str
) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    more = {"ACCELERATE_USE_FSDP": shard} if shard else {}
    said = ended(started(recipe, tmp_path, "fit", *launcher, **more))
    places = Places(tmp_path, "small")
    assert losses(places) == pytest.approx(alone, rel=1e-3)
    # One of the two speaks and writes.
    assert said.count("The adapter is in") == 1
