"""Adapters on disk: find them, hash them, refuse what is broken or foreign.

Safetensors only: a pickle can run code. Knows files and tensors; knows nothing
of slots, decoding or who asked.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.types import AdapterInfo, AdapterRefused

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# What comes with Lanner, and the adapter that the demo model begins with.
SHIPPED, FOR_DEMO = Path(__file__).parent / "shipped", "lanner-demo"
# As an adapter's name: the base model alone.
NONE = "none"


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where adapters are looked for: an operator's folder, then perhaps what is shipped."""

    own: Path
    shipped: Path | None = None

    def all(self) -> list[AdapterInfo]:
        """Every readable adapter by name; an own one hides a shipped one of its name."""
        shipped = discover(self.shipped) if self.shipped else []
        found = {info.name: info for info in [*shipped, *discover(self.own)]}
        return [found[name] for name in sorted(found)]

    def named(self, name: str) -> AdapterInfo:
        """The adapter of that name; raises AdapterRefused."""
        try:
            return named(self.own, name)
        except AdapterMissing as missing:
            if self.shipped and (self.shipped / name).is_dir():
                return named(self.shipped, name)
            known = ", ".join(info.name for info in self.all()) or "none"
            raise AdapterRefused(f"{missing} There are: {known}.") from None


class AdapterMissing(AdapterRefused):
    """There is no such folder."""


def discover(folder: Path) -> list[AdapterInfo]:
    """Every readable adapter in `folder`, by name."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        if (path / CONFIG).is_file() and (path / WEIGHTS).is_file():
            try:
                found.append(read(path))
            except AdapterRefused:
                continue
    return found


def named(folder: Path, name: str) -> AdapterInfo:
    """The adapter of that name; a name can never lead out of `folder`."""
    try:
        path = (folder / name).resolve()
        inside = bool(name) and path.parent == folder.resolve()
        there = inside and path.is_dir()
    except (OSError, ValueError):
        inside = there = False
    if not inside:
        raise AdapterRefused("An adapter's name is a folder's name, without a path.")
    if not there:
        raise AdapterMissing(f"There is no adapter {name} in {folder}.")
    return read(path)


def read(path: Path) -> AdapterInfo:
    """What the folder says of itself; raises AdapterRefused."""
    if not (path / WEIGHTS).is_file():
        raise AdapterRefused(f"{path.name} has no {WEIGHTS}: only safetensors are loaded.")
    try:
        config = json.loads((path / CONFIG).read_text("utf-8"))
        base, kind = str(config["base_model_name_or_path"]), config.get("peft_type")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterRefused(f"{path.name}/{CONFIG} cannot be read: {error}.") from error
    if kind != "LORA":
        raise AdapterRefused(f"{path.name} is no LoRA adapter but {kind}.")
    verdict, reasons = _verdict(path)
    note = f"verdict {verdict}" if verdict else ""
    sha256 = _sha256(path / WEIGHTS)
    return AdapterInfo(path.name, path, sha256, base, note, verdict, reasons)


def canonical(name: str) -> str | None:
    """A hub id for what was named, also inside a hub cache; None when it cannot be known."""
    cached = re.search(r"models--([^/]+?)--([^/]+)/snapshots/", name + "/")
    if cached:
        return f"{cached[1]}/{cached[2]}".lower()
    hub = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name)
    return name.lower() if hub and not Path(name).is_dir() else None


def check_base(info: AdapterInfo, base: str | None) -> None:
    """An adapter that names another base is refused; a base in a local folder cannot be told."""
    made_for = canonical(info.base)
    if base is not None and made_for != base.lower():
        raise AdapterRefused(
            f"{info.name} was made for {info.base}, and the model that runs is {base}."
        )


def check_verdict(info: AdapterInfo, *, force: bool) -> None:
    """An adapter that its own evaluation advised against is served only when forced."""
    if info.verdict == "no-go" and not force:
        why = "; ".join(info.reasons) or "no reason was written down"
        raise AdapterRefused(f"{info.name} was found not fit to serve: {why}.")


def check_files(info: AdapterInfo) -> None:
    """The weights open as safetensors, all finite and unchanged since they were hashed."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights = info.path / WEIGHTS
    try:
        tensors = load_file(weights)
    except (SafetensorError, OSError, ValueError) as error:
        raise AdapterRefused(f"{info.name}/{WEIGHTS} is broken: {error}.") from error
    if _sha256(weights) != info.sha256:
        raise AdapterRefused(f"{info.name}/{WEIGHTS} changed while it was being loaded.")
    if not tensors:
        raise AdapterRefused(f"{info.name}/{WEIGHTS} holds no weights.")
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterRefused(f"{info.name} holds a value that is not a number, in {name}.")


def check_weights(model: Any, version: str, info: AdapterInfo) -> None:
    """Every tensor of the file found its place in the model, and none was missing."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(str(info.path / WEIGHTS), framework="pt") as file:
        stored = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    placed = {
        key: tuple(value.shape)
        # Left to itself, PEFT asks the hub whether the embeddings were resized.
        for key, value in get_peft_model_state_dict(
            model, adapter_name=version, save_embedding_layers=False
        ).items()
    }
    if stored != placed:
        odd = sorted(set(stored.items()) ^ set(placed.items()))[0][0]
        raise AdapterRefused(f"{info.name} was made for another model: {odd} does not fit.")


def _verdict(path: Path) -> tuple[Literal["go", "no-go"] | None, tuple[str, ...]]:
    """What the training's manifest says; no manifest says nothing, a broken one is no go."""
    file = path / "manifest.json"
    if not file.is_file():
        return None, ()
    try:
        manifest = json.loads(file.read_text("utf-8"))
        verdict, reasons = manifest.get("verdict"), manifest.get("reasons") or []
    except (OSError, ValueError, AttributeError):
        return "no-go", ("its manifest.json cannot be read",)
    if verdict == "go":
        return "go", ()
    if verdict == "no-go":
        return "no-go", tuple(str(reason) for reason in reasons)
    return None, ()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
