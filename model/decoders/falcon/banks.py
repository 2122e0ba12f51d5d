"""LoRA for the kernels: a bank holds one adapter, and two banks are resident.

While an adapter is swapped, old sequences use one bank and new ones the other.
Ranks up to 32 are padded with zeros; a bank of zeros is the model without an
adapter. LayerNorm's γ and β are folded into A of the two matrices that read its
output, so that its kernel need not make a second pass (kernels/norm.cu).

Knows tensors; knows nothing of files, versions or who uses which bank.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from model.decoders.falcon.layout import LORA_RANK, UNIT, pack_lora
from model.decoders.falcon.shape import TILE, Shape
from model.decoders.falcon.weights import Weights

SETS = 64  # A's rows of both sets of W1: query_key_value, then dense_h_to_4h


@dataclass(frozen=True, slots=True)
class Lora:
    """One linear layer's adapter, rank 32: A fp32 [32, columns], B with its scale [rows, 32]."""

    a: torch.Tensor
    b: torch.Tensor


@dataclass(frozen=True, slots=True)
class Bank:
    """One adapter, every tensor [layers, ...].

    `ga` bf16 [64, hidden] γ·A, `sga`, `sba` fp32 [64] its sums and those of β·A;
    `ad` bf16 [32, hidden], `ah` bf16 [32, 4·hidden]; `b1` uint8
    [rows1/32, 1, 2, 1088] and `b2` [hidden/32, 2, 2, 1088] units of B.
    """

    ga: torch.Tensor
    sga: torch.Tensor
    sba: torch.Tensor
    ad: torch.Tensor
    ah: torch.Tensor
    b1: torch.Tensor
    b2: torch.Tensor

    def tensors(self) -> list[torch.Tensor]:
        """All of them, in one order."""
        return [getattr(self, field.name) for field in fields(self)]

    def copy_(self, other: Bank) -> None:
        """Take another bank's values, in place: graphs keep the addresses."""
        for mine, theirs in zip(self.tensors(), other.tensors(), strict=True):
            mine.copy_(theirs, non_blocking=True)

    def memory_bytes(self) -> int:
        """Bytes of the bank."""
        return sum(tensor.nbytes for tensor in self.tensors())


def empty(shape: Shape, device: torch.device) -> Bank:
    """A bank of zeros: the model without an adapter."""
    n, tiles1, tiles2 = shape.layers, shape.rows1 // TILE, shape.hidden // TILE

    def zeros(*size: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(n, *size, dtype=dtype, device=device)

    return Bank(
        ga=zeros(SETS, shape.hidden, dtype=torch.bfloat16),
        sga=zeros(SETS, dtype=torch.float32),
        sba=zeros(SETS, dtype=torch.float32),
        ad=zeros(LORA_RANK, shape.hidden, dtype=torch.bfloat16),
        ah=zeros(LORA_RANK, shape.mlp, dtype=torch.bfloat16),
        b1=zeros(tiles1, 1, 2, UNIT, dtype=torch.uint8),
        b2=zeros(tiles2, 2, 2, UNIT, dtype=torch.uint8),
    )


def fill(bank: Bank, weights: Weights, layers: list[dict[str, Lora]]) -> None:
    """Write an adapter into a bank; `layers` names qkv, up, dense and down of each layer."""
    for i, lora in enumerate(layers):
        gamma, beta = weights.gamma[i].float(), weights.beta[i].float()
        a1 = torch.cat([lora["qkv"].a, lora["up"].a]).to(gamma)
        bank.ga[i] = (a1 * gamma).bfloat16()
        bank.sga[i] = bank.ga[i].float().sum(dim=1)
        bank.sba[i] = (a1 * beta).sum(dim=1)
        bank.ad[i] = lora["dense"].a.bfloat16()
        bank.ah[i] = lora["down"].a.bfloat16()
        b1 = torch.cat([lora["qkv"].b, lora["up"].b])
        bank.b1[i, :, 0, :, :1024] = pack_lora(b1.bfloat16()).to(bank.b1.device)
        for at, name in enumerate(("dense", "down")):
            bank.b2[i, :, at, :, :1024] = pack_lora(lora[name].b.bfloat16()).to(bank.b2.device)
