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

from model.decoders.falcon.layout import LORA_RANK, LORA_UNIT, UNIT, pack_lora
from model.decoders.falcon.shape import TILE, Shape
from model.decoders.falcon.weights import Weights

SETS = 64  # ranks of both sets: of query_key_value and dense_h_to_4h, of dense and dense_4h_to_h


@dataclass(frozen=True, slots=True)
class Lora:
    """One linear layer's adapter, rank 32: A fp32 [32, columns], B with its scale [rows, 32]."""

    a: torch.Tensor
    b: torch.Tensor


@dataclass(frozen=True, slots=True)
class Bank:
    """One adapter, every tensor [layers, ...].

    `ga` fp16 [64, hidden] γ·A, `sga`, `sba` fp32 [64] its sums and those of β·A;
    `ad` fp16 [32, hidden], `ah` fp16 [32, 4·hidden]; `b1` uint8
    [rows1/32, 2, 1088] units of B, as they follow W1's; `b2` fp16 [8, hidden, 8] B of both
    parts of W2 by octets of its rank, which LayerNorm's kernel adds.
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
    n, tiles = shape.layers, shape.rows1 // TILE

    def zeros(*size: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(n, *size, dtype=dtype, device=device)

    return Bank(
        ga=zeros(SETS, shape.hidden, dtype=torch.float16),
        sga=zeros(SETS, dtype=torch.float32),
        sba=zeros(SETS, dtype=torch.float32),
        ad=zeros(LORA_RANK, shape.hidden, dtype=torch.float16),
        ah=zeros(LORA_RANK, shape.mlp, dtype=torch.float16),
        b1=zeros(tiles, 2, UNIT, dtype=torch.uint8),
        b2=zeros(SETS // 8, shape.hidden, 8, dtype=torch.float16),
    )


def fill(bank: Bank, weights: Weights, layers: list[dict[str, Lora]]) -> None:
    """Write an adapter into a bank; `layers` names qkv, up, dense and down of each layer."""
    for i, lora in enumerate(layers):
        gamma, beta = weights.gamma[i].float(), weights.beta[i].float()
        a1 = torch.cat([lora["qkv"].a, lora["up"].a]).to(gamma)
        bank.ga[i] = (a1 * gamma).half()
        bank.sga[i] = bank.ga[i].float().sum(dim=1)
        bank.sba[i] = (a1 * beta).sum(dim=1)
        bank.ad[i] = lora["dense"].a.half()
        bank.ah[i] = lora["down"].a.half()
        b1 = torch.cat([lora["qkv"].b, lora["up"].b])
        bank.b1[i, :, :, :LORA_UNIT] = pack_lora(b1.half()).to(bank.b1.device)
        b2 = torch.cat([lora["dense"].b, lora["down"].b], dim=1).half()
        bank.b2[i] = b2.reshape(-1, SETS // 8, 8).transpose(0, 1)
