"""Where a Falcon's tensors come from: a hub checkpoint, or the packed copy kept of it.

Quantising takes minutes and reading the result seconds, so what was packed is
written down once, under a name that the checkpoint's own files decide. Knows
files; knows nothing of devices' memory, kernels or adapters.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from model.decoders.falcon import weights
from model.decoders.falcon.shape import Shape, shape_of
from model.decoders.falcon.weights import Weights
from model.types import ModelUnavailable

# Goes up when units or their meaning change.
FORMAT = 1
EDGE = 1 << 20  # bytes at both ends of a file that stand for all of it


def folder_of(source: str) -> Path:
    """The checkpoint's folder, fetched from the hub if it is not there; raises OSError."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(source, allow_patterns=["*.safetensors", "*.json"]))


def load(folder: Path, cache: Path, device: torch.device, say: Callable[[str], None]) -> Weights:
    """The packed weights, quantising them first if that was never done here."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    shape, tied = shape_of(config), bool(config.tie_word_embeddings)
    kept = cache / f"falcon-{digest(folder)}.safetensors"
    if kept.is_file():
        found = _read(kept, shape, device)
        if found is not None:
            return found
        say(f"The packed weights in {kept.name} are broken: they are made anew.")
    say("Quantising the weights to NF4, once; this takes some minutes.")
    made = _quantise(folder, shape, device, tied=tied)
    _keep(made, kept, say)
    return made


def digest(folder: Path) -> str:
    """A hash of the checkpoint: its configuration, and the size and ends of every shard."""
    state = hashlib.sha256(str(FORMAT).encode())
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        size = path.stat().st_size
        state.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            state.update(file.read(EDGE))
            file.seek(max(0, size - EDGE))
            state.update(file.read(EDGE))
    return state.hexdigest()[:16]


def _quantise(folder: Path, shape: Shape, device: torch.device, *, tied: bool) -> Weights:
    from safetensors import safe_open

    with ExitStack() as stack:
        places: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            file = stack.enter_context(safe_open(str(path), framework="pt"))
            places.update(dict.fromkeys(file.keys(), file))
        if not places:
            raise ModelUnavailable(f"{folder} holds no safetensors: only those are loaded.")

        def read(name: str) -> torch.Tensor:
            if name not in places:
                raise ModelUnavailable(f"{folder} does not hold a whole Falcon: {name} is missing.")
            tensor: torch.Tensor = places[name].get_tensor(name)
            return tensor

        return weights.build(shape, read, device, tied=tied)


def _read(path: Path, shape: Shape, device: torch.device) -> Weights | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path, device=str(device))
        tensors.setdefault("head", tensors["embedding"])
        return Weights(shape=shape, **tensors)
    except (SafetensorError, OSError, KeyError, TypeError):
        return None


def _keep(made: Weights, path: Path, say: Callable[[str], None]) -> None:
    """Write the packed weights beside the others; a full disk costs only the next start."""
    from safetensors.torch import save_file

    tensors = made.tensors()
    if made.head.data_ptr() == made.embedding.data_ptr():
        del tensors["head"]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            save_file(tensors, Path(folder) / "packed")
            os.replace(Path(folder) / "packed", path)
    except OSError as error:
        say(f"The packed weights could not be kept ({error}); the next start quantises again.")
