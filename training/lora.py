"""LoRA on frozen linear layers, forward and backward in one function each.

The frozen weight may be plain or NF4: it is turned into the compute type once
in each direction and never kept, so the products run at the device's full
speed and nothing of the base is stored between them. A and B stay fp32, as
masters and for the optimiser; they are cast for each product. Dropout's mask
is drawn again from its seed instead of kept.

Hu et al., 2021 (LoRA); Dettmers et al., 2023 (QLoRA). Knows tensors and
modules; knows nothing of training loops or files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from training.errors import RecipeError
from training.recipe import LoraPart


class LoraLinear(nn.Module):
    """A frozen linear layer with an update of low rank, `scale * B A`.

    [..., in] to [..., out]. `gelu` makes it take GELU's input instead of its
    output, so that only one of the two wide tensors is kept for the backward
    pass. `active` False gives the base alone.
    """

    def __init__(self, base: nn.Linear, part: LoraPart) -> None:
        super().__init__()
        self.in_features, self.out_features = base.in_features, base.out_features
        self.quant_state: Any = getattr(base.weight, "quant_state", None)
        # A plain tensor, whatever class quantisation gave it: sharding needs that.
        frozen = base.weight.detach().as_subclass(torch.Tensor)
        self.weight = nn.Parameter(frozen, requires_grad=False)
        self.bias = base.bias
        device = self.weight.device
        self.a = nn.Parameter(torch.empty(part.rank, self.in_features, device=device))
        self.b = nn.Parameter(torch.zeros(self.out_features, part.rank, device=device))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.scale, self.dropout, self.active = part.alpha / part.rank, part.dropout, True

    def forward(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """[..., in] to [..., out]."""
        flat = x.reshape(-1, self.in_features)
        dropout = self.dropout if self.training else 0.0
        # From torch's own generator, so that a recomputation draws the same mask.
        seed = int(torch.randint(1 << 62, (1,))) if dropout else 0
        dtype = self.weight.dtype if self.quant_state is None else self.quant_state.dtype
        y: torch.Tensor = _Fused.apply(  # type: ignore[no-untyped-call]
            flat.to(dtype), self.weight, self.a, self.b, self.quant_state, self.bias,
            self.scale if self.active else 0.0, dropout, seed, gelu,
        )  # fmt: skip
        return y.reshape(*x.shape[:-1], self.out_features)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor,
        state: Any, bias: torch.Tensor | None, scale: float, dropout: float, seed: int, gelu: bool,
    ) -> torch.Tensor:  # fmt: skip
        h = nn.functional.gelu(x) if gelu else x
        frozen = plain(weight, state)
        y = h @ frozen.t() if bias is None else torch.addmm(bias.to(h.dtype), h, frozen.t())
        low = None
        if scale:
            dropped = h * _mask(h, dropout, seed) if dropout else h
            low = dropped @ a.to(h.dtype).t()
            y.addmm_(low, (b * scale).to(h.dtype).t())
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.rest = (state, scale, dropout, seed, gelu)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        x, weight, a, b, low = ctx.saved_tensors
        state, scale, dropout, seed, gelu = ctx.rest
        dy = gradients[0]
        h = nn.functional.gelu(x) if gelu else x
        mask = _mask(h, dropout, seed) if dropout and scale else None
        da = db = back = None
        if scale:
            back = dy @ (b * scale).to(dy.dtype)
            da = (back.t() @ (h if mask is None else h * mask)).to(a.dtype)
            db = (dy.t() @ low).to(b.dtype) * scale
        dx = None
        if ctx.needs_input_grad[0]:
            dx = _input_gradient(dy, plain(weight, state), back, a, mask)
            if gelu:
                dx = torch.ops.aten.gelu_backward(dx, x)
        return dx, None, da, db, None, None, None, None, None, None


def _input_gradient(
    dy: torch.Tensor,
    frozen: torch.Tensor,
    back: torch.Tensor | None,
    a: torch.Tensor,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    if back is None:
        return dy @ frozen
    dx = back @ a.to(dy.dtype)
    if mask is not None:
        dx *= mask
    return dx.addmm_(dy, frozen)


def _mask(like: torch.Tensor, dropout: float, seed: int) -> torch.Tensor:
    generator = torch.Generator(like.device).manual_seed(seed)
    keep = torch.empty_like(like).bernoulli_(1 - dropout, generator=generator)
    return keep.mul_(1 / (1 - dropout))


def plain(weight: torch.Tensor, state: Any) -> torch.Tensor:
    """The frozen weight, [out, in], in the compute type."""
    if state is None:
        return weight.detach()
    from bitsandbytes.functional import dequantize_4bit

    # Packed bytes may be stored under another type, so that they can be sharded.
    packed = weight.detach().view(torch.uint8)
    whole: torch.Tensor = dequantize_4bit(packed, state)
    return whole.reshape(state.shape)


def wrap(model: nn.Module, part: LoraPart) -> dict[str, LoraLinear]:
    """Freeze the model and put LoRA on its linear layers; returns them by name."""
    model.requires_grad_(False)
    head = model.get_output_embeddings()  # type: ignore[operator]
    found: dict[str, LoraLinear] = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and module is not head and _wanted(name, part.targets):
            found[name] = LoraLinear(module, part)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, found[name])
    if not found:
        names = ", ".join(sorted(linear_names(model))) or "none"
        raise RecipeError(f"lora.targets names no layer of this model; it has: {names}.")
    return found


def _wanted(name: str, targets: Sequence[str]) -> bool:
    return not targets or name.rsplit(".", 1)[-1] in targets


def linear_names(model: nn.Module) -> set[str]:
    """The last part of every linear layer's name, the head left out."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    return {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }


def parameters(layers: dict[str, LoraLinear]) -> Iterator[tuple[str, nn.Parameter]]:
    """What is trained, under the names that PEFT gives it."""
    for name, layer in layers.items():
        yield f"base_model.model.{name}.lora_A.weight", layer.a
        yield f"base_model.model.{name}.lora_B.weight", layer.b


def set_active(layers: dict[str, LoraLinear], active: bool) -> None:
    """With or without the adapter: False is the base alone."""
    for layer in layers.values():
        layer.active = active
