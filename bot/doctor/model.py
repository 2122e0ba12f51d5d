"""Can the model run here: GPU, its memory, the adapter. Loads no weights."""

from __future__ import annotations

from pathlib import Path

from bot.doctor.findings import Finding, ill, note, well
from bot.loading import adapter_trouble, gpu_facts

# Falcon-7B in NF4 with an adapter and 64 conversations of 2,048 tokens.
FALCON_GB = 6.0


def gpu() -> Finding:
    """Whether there is a CUDA GPU that holds Falcon-7B."""
    try:
        facts = gpu_facts()
    except Exception as error:
        # A broken driver raises many things, and each means the same to the operator.
        return ill(
            "gpu",
            f"torch cannot be used here ({type(error).__name__}).",
            "Delete .venv and run make run again; if it stays, update the GPU's driver.",
        )
    if facts is None:
        return note(
            "gpu",
            "There is no CUDA GPU: the demo model runs on the CPU.",
            "A real service needs an NVIDIA GPU with 8 GB or more and its driver.",
        )
    name, free_gb, bf16 = facts
    if free_gb < FALCON_GB:
        return ill(
            "gpu",
            f"{name} has {free_gb:.1f} GB free, and Falcon-7B needs about {FALCON_GB:.0f} GB.",
            "End what else uses the GPU, or set LANNER_MODEL to a smaller model.",
        )
    computes = "bf16" if bf16 else "fp16, since it has no bf16"
    return well("gpu", f"{name}, {free_gb:.1f} GB free, computes in {computes}.")


def adapter(folder: Path, name: str | None) -> Finding:
    """Whether the adapter that is named in the settings can be read."""
    if name is None:
        return well("adapter", "None is named in LANNER_ADAPTER.")
    trouble = adapter_trouble(folder, name)
    if trouble is not None:
        return ill("adapter", trouble, "Correct LANNER_ADAPTER, or copy the adapter's folder.")
    return well("adapter", f"{name} is there and can be read.")
