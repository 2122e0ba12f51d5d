"""One process or several: who this one is, and sums over all of them.

The adapter is small and every process holds it whole; gradients are summed by
hand, so the same loop serves one process and many. The frozen base may be
sharded over the processes (FSDP2), which is what `accelerate` is configured
for in accelerate/fsdp_qlora.yaml. Knows torch.distributed; knows no models.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Ranks:
    """`index` of `count` processes; `local` is the GPU's number on this machine."""

    index: int = 0
    count: int = 1
    local: int = 0
    shard: bool = False

    @property
    def first(self) -> bool:
        """The one that prints and writes."""
        return self.index == 0

    def share(self, chosen: list[int]) -> list[int]:
        """This process's part of a step's examples, dealt in turn."""
        return chosen[self.index :: self.count]

    def total(self, value: float, device: torch.device) -> float:
        """The sum over all processes."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(tensor)
        return float(tensor)

    def all_true(self, value: bool, device: torch.device) -> bool:
        """Whether it holds in every process."""
        return self.total(float(not value), device) == 0

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Every process gets the sum of all gradients, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        torch.distributed.all_reduce(flat)
        at = 0
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = flat[at : at + gradient.numel()].view_as(gradient).clone()
            at += gradient.numel()

    def same_everywhere(self, tensors: Iterable[torch.Tensor]) -> None:
        """The first process's values reach all others."""
        if self.count > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            torch.distributed.barrier()


def join() -> Ranks:
    """Join the processes that a launcher started; alone where there was none."""
    if not torch.distributed.is_torchelastic_launched():
        return Ranks()
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    state = PartialState(cpu=not torch.cuda.is_available())
    return Ranks(
        state.process_index,
        state.num_processes,
        state.local_process_index,
        # What `distributed_type: FSDP` in accelerate's config sets.
        parse_flag_from_env("ACCELERATE_USE_FSDP"),
    )


def leave() -> None:
    """Take leave of the others, so that none waits for this one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def shard(model: Any, trained: Iterable[torch.nn.Parameter], device: torch.device) -> None:
    """Spread the frozen layers over all processes; the adapter stays whole in each."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    whole = set(trained)
    for layer in decoder_layers(model):
        own = {p for p in layer.parameters() if p in whole}
        fully_shard(layer, mesh=mesh, ignored_params=own)


def decoder_layers(model: Any) -> list[Any]:
    """The blocks of a causal LM: the longest list of modules."""
    lists = [list(m) for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    return max(lists, key=len, default=[])
