"""Cross-entropy of the taught tokens alone, a few thousand at a time.

A vocabulary of 65,024 makes logits the largest tensor of a step. Here they
exist only for tokens that are taught and only for one chunk at once; the
gradient is taken in the same pass. Knows hidden states and the head's weight.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK = 4096


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        losses, gradient = [], torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for at in range(0, len(labels), CHUNK):
            part = slice(at, at + CHUNK)
            logits = (hidden[part] @ weight.t()).float()
            top = logits.logsumexp(dim=1, keepdim=True)
            right = labels[part].unsqueeze(1)
            losses.append((top - logits.gather(1, right)).squeeze(1))
            if gradient is not None:
                logits = logits.sub_(top).exp_()
                logits.scatter_add_(1, right, torch.full_like(top, -1.0))
                gradient[part] = logits.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return torch.cat(losses) if losses else hidden.new_zeros(0, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].unsqueeze(1).to(gradient.dtype), None, None


def token_losses(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss of each taught token, [tokens], in nats; `hidden` is [tokens, width]."""
    losses: torch.Tensor = _HeadLoss.apply(hidden, weight, labels)  # type: ignore[no-untyped-call]
    return losses
