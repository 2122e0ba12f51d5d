"""`python -m training --preset original` on Falcon-7B's shape, as an operator calls it.

    python tests/benchmarks/gpu/original_preset.py [FOLDER]

The weights are random, so the losses mean nothing: what is shown is that the
command loads 128 layers in NF4, walks some steps of the recipe and writes an
adapter. The base is written into FOLDER, 14 GB (a temporary folder unless
named). `--check` does it with a tiny model, without a GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import FalconForCausalLM

from tests.benchmarks.gpu.training_speed import DEVICE, FALCON, TINY, Shape
from tests.model import tiny

STEPS = 5


def save_base(shape: Shape, folder: Path) -> None:
    """Random bf16 weights and a byte-level tokenizer: English becomes one token a letter."""
    torch.manual_seed(0)
    with torch.device(DEVICE):
        model = FalconForCausalLM(shape.config()).to(torch.bfloat16)
    tokenizer = tiny.tokenizer()
    model.config.bos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.bos_token_id = model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train(base: Path, data: Path) -> None:
    """The command itself; its output is shown."""
    words = [sys.executable, "-m", "training", "--preset", "original", "--data-dir", str(data)]
    words += [f"model.base={base}", f"fit.steps={STEPS}", "compare.after_fit=false"]
    print("$", " ".join(["python", *words[1:]]), flush=True)
    began = time.perf_counter()
    subprocess.run(words, check=True)
    print(f"the command took {time.perf_counter() - began:.0f} s")


def tell(adapter: Path) -> None:
    """What it wrote."""
    run = json.loads((adapter / "manifest.json").read_text())["run"]
    for step in run["history"]["steps"]:
        print({name: round(value, 4) for name, value in step.items()})
    print(f"peak {run.get('peak_bytes', 0) / 1e9:.2f} GB, {run['tokens']:,} tokens")
    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
        values = sum(file.get_tensor(name).numel() for name in names)
    print(f"{len(names)} matrices of the adapter, {values:,} values")


def main() -> None:
    """Write the base, train, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--check", action="store_true", help="a tiny model, on any machine")
    options = parser.parse_args()
    shape = TINY if options.check else FALCON
    if not options.check and not torch.cuda.is_available():
        sys.exit("This needs a CUDA GPU; --check runs the script itself on a tiny model.")
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        base, data = Path(place) / "base", Path(place) / "data"
        print(f"random weights, {shape.layers} layers of {shape.hidden}", flush=True)
        save_base(shape, base)
        train(base, data)
        tell(data / "adapters" / "original")


if __name__ == "__main__":
    main()
