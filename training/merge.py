"""The adapter inside the weights, or at another place.

Merging happens in the unquantised base: added to NF4 weights, the update would
drown in rounding. Knows adapters' folders and models; knows nothing of data.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from training.adapter import CONFIG, MANIFEST, WEIGHTS, read_json, sha256
from training.base import load_base
from training.checkpoint import replace_folder
from training.errors import TrainingError
from training.ranks import Ranks
from training.recipe import ModelPart

Say = Callable[[str], None]


def merge(adapter: Path, out: Path, data_dir: Path, say: Say) -> Path:
    """A whole model in bf16 that any server of transformers models loads; raises TrainingError."""
    manifest, config = read_json(adapter / MANIFEST), read_json(adapter / CONFIG)
    part = ModelPart(base=manifest["base"]["folder"], quantise="none", compute="bf16", device="cpu")
    base = load_base(part, data_dir, Ranks(), say)
    refuse_quantised(base.model)
    count = add(base.model, adapter / WEIGHTS, config)
    base.model.config.lanner_base = base.name

    def write(folder: Path) -> None:
        base.model.save_pretrained(folder, max_shard_size="4GB")
        base.tokenizer.save_pretrained(folder)
        about = {
            "base": base.name,
            "adapter": adapter.name,
            "adapter_sha256": sha256(adapter / WEIGHTS),
            "verdict": manifest.get("verdict"),
            "reasons": manifest.get("reasons", []),
        }
        (folder / "merged_from.json").write_text(json.dumps(about, indent=1) + "\n")

    replace_folder(out, write)
    say(f"{count} layers merged in bf16; the model is in {out}. For vLLM: vllm serve {out}")
    return out


def refuse_quantised(model: Any) -> None:
    """Raises TrainingError for a model with 4-bit layers."""
    if any(type(module).__name__ == "Linear4bit" for module in model.modules()):
        raise TrainingError(
            "An adapter cannot be merged into 4-bit weights: its update would be lost in rounding. "
            "Merge into the unquantised base (model.quantise=none)."
        )


@torch.no_grad()
def add(model: Any, weights: Path, config: dict[str, Any]) -> int:
    """Add every update to its layer, in fp32, rounded once; how many there were."""
    from safetensors.torch import load_file

    tensors = load_file(weights)
    scale, count = config["lora_alpha"] / config["r"], 0
    for name, a in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        b = tensors[name.replace("lora_A", "lora_B")]
        try:
            weight = model.get_submodule(layer).weight
        except AttributeError as error:
            raise TrainingError(f"This base has no layer {layer}: it is another model.") from error
        weight.copy_((weight.float() + scale * (b.float() @ a.float())).to(weight.dtype))
        count += 1
    return count


def export(adapter: Path, out: Path, say: Say) -> Path:
    """Copy an adapter's folder, whole or not at all, and check what arrived."""
    read_json(adapter / CONFIG)
    hashed = sha256(adapter / WEIGHTS)
    if out.resolve() == adapter.resolve():
        raise TrainingError(f"{out} is the adapter itself: name another folder by --out.")

    def write(folder: Path) -> None:
        for path in sorted(adapter.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                shutil.copyfile(path, folder / path.name)

    replace_folder(out, write)
    if sha256(out / WEIGHTS) != hashed:
        raise TrainingError(f"{out / WEIGHTS} is not what was copied: check the disk.")
    say(f"The adapter is in {out}; in the chat: /reload {out.name}")
    return out
