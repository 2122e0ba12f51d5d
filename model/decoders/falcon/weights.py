"""A Falcon's weights in the form that the kernels read, from any place that names tensors.

The four linear layers of each layer are quantised by bitsandbytes, NF4 with
double quantisation, exactly as QLoRA trained on them, and then repacked; the
double quantisation is undone, since a unit keeps its scales in fp16. Layers go
through the device one by one, so that the whole of 16 bits never lies there.

Knows tensors' names and order; knows nothing of files, kernels or slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch

from model.decoders.falcon.layout import pack_dense, pack_units
from model.decoders.falcon.shape import BLOCK, Shape

Read = Callable[[str], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything but adapters.

    `w1` [layers, rows1/32, hidden/64, 1088] and `w2` [layers, hidden/32, cols2/64, 1088]
    uint8 units; norms fp32 [layers, hidden]; `embedding` and `head` dense units of fp16
    [vocabulary/32, hidden/64, 4096], the same tensor where the model ties them.
    """

    shape: Shape
    w1: torch.Tensor
    w2: torch.Tensor
    gamma: torch.Tensor
    beta: torch.Tensor
    last_gamma: torch.Tensor
    last_beta: torch.Tensor
    embedding: torch.Tensor
    head: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor by its field's name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "shape"}

    def memory_bytes(self) -> int:
        """Bytes of the weights; a tied tensor counts once."""
        return sum(t.nbytes for t in {t.data_ptr(): t for t in self.tensors().values()}.values())


def build(shape: Shape, read: Read, device: torch.device, *, tied: bool) -> Weights:
    """Quantise and pack what `read` returns by its name in a Falcon checkpoint."""
    w1, w2, gamma, beta = [], [], [], []
    for layer in range(shape.layers):
        at = f"transformer.h.{layer}"
        first = [f"{at}.self_attention.query_key_value", f"{at}.mlp.dense_h_to_4h"]
        second = [f"{at}.self_attention.dense", f"{at}.mlp.dense_4h_to_h"]
        w1.append(_packed([read(f"{n}.weight").to(device) for n in first], dim=0))
        w2.append(_packed([read(f"{n}.weight").to(device) for n in second], dim=1))
        gamma.append(read(f"{at}.input_layernorm.weight"))
        beta.append(read(f"{at}.input_layernorm.bias"))

    def small(rows: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(rows).to(device, torch.float32)

    embedding = _dense(read("transformer.word_embeddings.weight"), device)
    return Weights(
        shape=shape,
        w1=torch.stack(w1),
        w2=torch.stack(w2),
        gamma=small(gamma),
        beta=small(beta),
        last_gamma=read("transformer.ln_f.weight").to(device, torch.float32),
        last_beta=read("transformer.ln_f.bias").to(device, torch.float32),
        embedding=embedding,
        head=embedding if tied else _dense(read("lm_head.weight"), device),
    )


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """NF4 codes uint8 [rows, columns] and scales fp16 [rows, columns/64] of a matrix."""
    from bitsandbytes import functional as bnb

    packed, state = bnb.quantize_4bit(
        weight.contiguous(), blocksize=BLOCK, compress_statistics=True, quant_type="nf4"
    )
    pairs = packed.view(torch.uint8).reshape(-1)
    codes = torch.stack((pairs >> 4, pairs & 15), dim=-1).reshape(weight.shape)
    scales = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return codes, scales.reshape(weight.shape[0], -1).half()


def random(shape: Shape, device: torch.device, seed: int = 0) -> Weights:
    """Random weights of that shape: only sizes and speeds mean anything."""
    generator = torch.Generator(device).manual_seed(seed)
    rows = [(shape.rows1, shape.hidden), (shape.hidden, shape.cols2)]

    def matrices(size: tuple[int, int]) -> Iterator[torch.Tensor]:
        for _ in range(shape.layers):
            codes = torch.randint(
                0, 16, size, generator=generator, device=device, dtype=torch.uint8
            )
            # Scales such that outputs keep about the size of the inputs.
            spread = torch.rand(size[0], size[1] // BLOCK, generator=generator, device=device)
            yield pack_units(codes, ((spread + 0.5) * 1.5 * size[1] ** -0.5).half())

    def normal(*size: int, mean: float, spread: float) -> torch.Tensor:
        noise = torch.randn(size, generator=generator, device=device)
        return mean + spread * noise

    table = _dense(normal(shape.vocabulary, shape.hidden, mean=0, spread=0.02), device)
    return Weights(
        shape=shape,
        w1=torch.stack(list(matrices(rows[0]))),
        w2=torch.stack(list(matrices(rows[1]))),
        gamma=normal(shape.layers, shape.hidden, mean=1, spread=0.1),
        beta=normal(shape.layers, shape.hidden, mean=0, spread=0.1),
        last_gamma=normal(shape.hidden, mean=1, spread=0.1),
        last_beta=normal(shape.hidden, mean=0, spread=0.1),
        embedding=table,
        head=table,
    )


def _packed(weights: list[torch.Tensor], dim: int) -> torch.Tensor:
    """Matrices quantised one by one, as QLoRA does, and joined."""
    codes, scales = zip(*(quantise(weight) for weight in weights), strict=True)
    return pack_units(torch.cat(codes, dim), torch.cat(scales, dim))


def _dense(weight: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Dense units; a vocabulary that does not fill its last tile is padded with zeros."""
    weight = weight.to(device, torch.float16)
    missing = -weight.shape[0] % 32
    return pack_dense(torch.nn.functional.pad(weight, (0, 0, 0, missing)))
