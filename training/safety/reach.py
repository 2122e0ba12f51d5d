"""How large the inputs of each linear map get, which its 8-bit form must know.

Measured on a trained network and messages that it learnt from. Knows the
network's parts; what is done with the sizes is bot/safety/products.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bot.safety.encoder import Tokens
from training.safety.net import Net, batch

# The part that is listened at, and the name of what its input goes into.
_PARTS = {
    "query": "attention.self",
    "out": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}


def reach(net: Net, windows: Sequence[Tokens]) -> dict[str, Tensor]:
    """The largest size of each input's columns, by the names that the encoder reads."""
    found: dict[str, Tensor] = {}
    hooks = []
    for number, layer in enumerate(net.encoder):
        for part, where in _PARTS.items():
            module: nn.Module = getattr(layer, part)
            name = f"encoder.layer.{number}.{where}"
            hooks.append(module.register_forward_pre_hook(_listener(found, name)))
    with torch.inference_mode():
        for window in windows:  # one by one: padding is nobody's input
            net(*batch([window]))
    for hook in hooks:
        hook.remove()
    return found


def _listener(found: dict[str, Tensor], name: str) -> Any:
    def listen(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        size = given[0].detach().flatten(0, -2).abs().amax(0)
        found[name] = torch.maximum(found[name], size) if name in found else size

    return listen
