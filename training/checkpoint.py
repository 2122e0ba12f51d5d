"""Checkpoints that survive kill -9: written beside, then renamed.

A folder `step-000040` holds the adapter, the optimiser's state and the run's
numbers; it is there whole or not at all. No pickle: safetensors and JSON.
Knows files and tensors; knows nothing of how training goes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from training.errors import TrainingError

KEPT = 2
_NAME = re.compile(r"step-(\d{6})")


class Checkpoints:
    """The checkpoints of one run, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self, step: int, tensors: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]
    ) -> Path:
        """Write one whole; older ones but the last two go."""

        def write(beside: Path) -> None:
            for name, group in tensors.items():
                save_file(
                    {k: t.contiguous() for k, t in group.items()}, beside / f"{name}.safetensors"
                )
            (beside / "state.json").write_text(json.dumps(state))

        path = replace_folder(self.folder / f"step-{step:06d}", write)
        for old in self.steps()[:-KEPT]:
            shutil.rmtree(self.folder / f"step-{old:06d}", ignore_errors=True)
        return path

    def steps(self) -> list[int]:
        """Steps that can be resumed from, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def load(
        self, names: tuple[str, ...]
    ) -> tuple[dict[str, Any], dict[str, dict[str, torch.Tensor]]]:
        """The newest one; raises TrainingError when there is none or it is broken."""
        steps = self.steps()
        if not steps:
            raise TrainingError(f"There is no checkpoint in {self.folder}: start with `fit`.")
        path = self.folder / f"step-{steps[-1]:06d}"
        try:
            state = json.loads((path / "state.json").read_text())
            return state, {name: load_file(path / f"{name}.safetensors") for name in names}
        except (OSError, ValueError, SafetensorError) as error:
            raise TrainingError(
                f"The checkpoint {path} is broken ({error}): delete it, then resume."
            ) from error


def replace_folder(folder: Path, write: Callable[[Path], None]) -> Path:
    """Fill a folder beside, then put it in place; a kill leaves the old one or the new.

    Raises TrainingError when the disk is full or cannot be written.
    """
    beside = folder.parent / f".{folder.name}.new"
    old = folder.parent / f".{folder.name}.old"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        recover(folder)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        write(beside)
        _to_disk(beside)
        if folder.exists():
            os.replace(folder, old)
        os.replace(beside, folder)
        _to_disk(folder.parent, deep=False)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        recover(folder)
        reason = getattr(error, "strerror", None) or str(error)
        raise TrainingError(
            f"{folder} could not be written ({reason}): free some space; the last one stays."
        ) from error
    return folder


def recover(folder: Path) -> None:
    """Between the two renames of a replacement only `.old` is there: put it back."""
    old = folder.parent / f".{folder.name}.old"
    if old.is_dir():
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(old, folder)


def _to_disk(folder: Path, *, deep: bool = True) -> None:
    """A rename must not reach the disk before what it names."""
    for path in [*(folder.iterdir() if deep else ()), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
