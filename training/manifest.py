"""What an adapter is made of: recipe, data, versions, machine, times. Knows no tensors."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from typing import Any

import torch

from training.recipe import Recipe

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "safetensors",
    "tokenizers",
)


def manifest(
    recipe: Recipe, data: dict[str, Any], data_sha256: str, base: dict[str, Any]
) -> dict[str, Any]:
    """All that is known before training; the run and the verdict are added after."""
    return {
        "format": 1,
        "name": recipe.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "base": base,
        "recipe": recipe.as_dict(),
        "data": {"sha256": data_sha256, **data},
        "seed": recipe.seed,
        "versions": versions(),
        "machine": machine(),
        "code": git_state(),
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What kind of machine; nothing that names it."""
    found: dict[str, Any] = {"system": platform.system(), "processor": platform.machine()}
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": about.name,
            "gpus": torch.cuda.device_count(),
            "gpu_bytes": about.total_memory,
        }
    else:
        found["threads"] = torch.get_num_threads()
    return found


def git_state() -> dict[str, Any]:
    """The commit, and whether files differed from it; empty outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(*words: str) -> str:
    found = subprocess.run(  # noqa: S603 - fixed words
        ["git", *words],  # noqa: S607
        capture_output=True, text=True, check=True, timeout=10,
    )  # fmt: skip
    return found.stdout.strip()
