"""Averages networks that began alike and learnt in different orders.

The mean of low-rank changes is itself one of low rank: the ranks add up. It
answers about as well as all of them together and costs no more to ask than
one. Knows nothing of data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from training.safety.net import Net, build


def soup(nets: Sequence[Net], folder: Path) -> Net:
    """One network with the mean of all changes and heads. All must share their shape."""
    states = [{name: t.cpu() for name, t in net.state_dict().items()} for net in nets]
    shape = replace(nets[0].shape, rank=nets[0].shape.rank * len(nets))
    mixed = {name: _mixed(name, [state[name] for state in states]) for name in states[0]}
    net = build(folder, shape)
    net.load_state_dict(mixed)
    return net.eval()


def _mixed(name: str, tensors: list[Tensor]) -> Tensor:
    if name.endswith(".up"):
        return torch.cat(tensors, dim=1) / len(tensors)
    if name.endswith(".down"):
        return torch.cat(tensors, dim=0)
    return torch.stack(tensors).mean(0)
