"""Chooses the model from the settings; heavy imports wait until it loads."""

from __future__ import annotations

from pathlib import Path

from bot.settings import Settings
from model.adapters import NONE, SHIPPED, Shelf
from model.loading import open_model
from model.types import AdapterRefused, Model


def model_for(settings: Settings) -> Model:
    """The model's queue, not yet loaded."""
    key = settings.lanner_remote_key
    return open_model(
        model=settings.lanner_model,
        adapter=settings.lanner_adapter,
        data_dir=settings.lanner_data_dir,
        adapters_dir=settings.adapters_dir,
        slots=settings.lanner_slots,
        capacity=settings.lanner_queue_capacity,
        remote_key=key.get_secret_value() if key else None,
        kernels=settings.lanner_kernels,
    )


def gpu_facts() -> tuple[str, float, bool] | None:
    """The first CUDA GPU's name, free gigabytes and whether it has bf16; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info()
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cuda.get_device_name(), free / 1e9, bf16


def adapter_trouble(folder: Path, name: str) -> str | None:
    """Why the adapter cannot be used, in a sentence; None when it can be read."""
    if name == NONE:
        return None
    try:
        Shelf(folder, SHIPPED).named(name)
    except AdapterRefused as error:
        return str(error)
    return None
