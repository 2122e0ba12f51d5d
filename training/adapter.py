"""Writes an adapter's folder: weights and config as PEFT and Lanner's `/reload` read them.

Knows files and names; knows nothing of how the weights came to be.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from training.errors import TrainingError
from training.recipe import LoraPart

CONFIG, WEIGHTS, MANIFEST = "adapter_config.json", "adapter_model.safetensors", "manifest.json"


def write_files(
    folder: Path, tensors: dict[str, torch.Tensor], part: LoraPart, base: str, targets: list[str]
) -> str:
    """Put weights and config into a folder that is there; the weights' sha256."""
    whole = {name: tensor.float().contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(_config(part, base, targets), indent=1) + "\n")
    return sha256(folder / WEIGHTS)


def _config(part: LoraPart, base: str, targets: list[str]) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": part.rank,
        "lora_alpha": part.alpha,
        "lora_dropout": part.dropout,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "inference_mode": True,
    }


def sha256(path: Path) -> str:
    """Of a file; raises TrainingError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """A file of the folder; raises TrainingError."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read: is it the folder of an adapter?") from error
    return found


def write_file(path: Path, content: str | bytes) -> None:
    """Whole or not at all; raises TrainingError."""
    beside = path.with_name(f".{path.name}.new")
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise TrainingError(f"{path} could not be written: {error.strerror}.") from error
