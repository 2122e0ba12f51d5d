"""Writes what the gate loads: the low-rank change and the head, and their manifest.

Knows file names and formats, nothing of how the network learned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from torch import Tensor

from bot.safety.classifier import EARLIER, digest
from training.safety.net import Net


def tensors(net: Net) -> dict[str, Any]:
    """Half-precision arrays by the names that bot/safety/classifier.py reads."""
    found: dict[str, Tensor] = {}
    for name, layer in net.changes():
        found[f"{name}.up"], found[f"{name}.down"] = layer.up, layer.down
    found[EARLIER] = net.earlier
    for part in ("first", "second"):
        linear = getattr(net, part)
        found[f"head.{part}.weight"], found[f"head.{part}.bias"] = linear.weight, linear.bias
    return _halves(found)


def _halves(found: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        name: np.ascontiguousarray(t.detach().numpy().astype(np.float16))
        for name, t in found.items()
    }


def ship(net: Net, manifest: Mapping[str, Any], folder: Path, sizes: Mapping[str, Tensor]) -> str:
    """Write both files and return the version: the date and the weights' fingerprint.

    `sizes` are those of reach.py.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "change.safetensors"
    weights.write_bytes(save(tensors(net) | _halves({f"{n}.reach": t for n, t in sizes.items()})))
    sha256 = digest(weights)
    kind = "mpnet" if "mpnet" in manifest["encoder"]["name"] else "minilm"
    version = f"{kind}-{manifest['date']}-{sha256[:8]}"
    page = {"version": version, **manifest, "sha256": sha256}
    text = json.dumps(page, indent=1, ensure_ascii=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return version
