"""The optimiser's pace and its state as plain tensors. Knows parameters; knows no data."""

from __future__ import annotations

import math
from typing import Any

import torch

from training.errors import RecipeError
from training.recipe import FitPart


def rate_at(step: int, fit: FitPart) -> float:
    """The learning rate of step 0, 1, …: a linear rise, then the schedule."""
    rise = math.ceil(fit.warmup * fit.steps)
    if step < rise:
        return fit.rate * (step + 1) / rise
    done = (step - rise) / max(1, fit.steps - rise)
    if fit.schedule == "cosine":
        return fit.rate * 0.5 * (1 + math.cos(math.pi * done))
    return fit.rate * (1 - done if fit.schedule == "linear" else 1.0)


def optimiser(
    parameters: list[torch.nn.Parameter], fit: FitPart, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW over fp32 masters; the paged one keeps its moments where memory is left."""
    settings: dict[str, Any] = {
        "lr": fit.rate,
        "betas": (0.9, fit.beta2),
        "eps": 1e-8,
        "weight_decay": fit.weight_decay,
    }
    if fit.optimiser == "paged_adamw_32bit" and device.type == "cuda":
        try:
            from bitsandbytes.optim import PagedAdamW32bit
        except ImportError as error:
            raise RecipeError("fit.optimiser=paged_adamw_32bit needs bitsandbytes.") from error
        paged: torch.optim.Optimizer = PagedAdamW32bit(parameters, **settings)
        return paged
    # The same arithmetic without paging.
    return torch.optim.AdamW(parameters, fused=True, **settings)


def state_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state under names such as `3.exp_avg`."""
    # That of bitsandbytes hides its moments from FSDP in a dictionary; it loads either form.
    whole = torch.optim.Optimizer.state_dict(optimiser)
    return {
        f"{number}.{key}": value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for number, state in whole["state"].items()
        for key, value in state.items()
    }


def load_state(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put saved tensors back."""
    whole = optimiser.state_dict()
    whole["state"] = {}
    for name, value in tensors.items():
        number, key = name.split(".", 1)
        # bitsandbytes counts its steps in a plain number.
        plain = value.dim() == 0 and key == "step" and "bitsandbytes" in type(optimiser).__module__
        whole["state"].setdefault(int(number), {})[key] = int(value) if plain else value
    optimiser.load_state_dict(whole)
