"""Loss and gradients of one optimiser step, in as many micro-batches as the memory needs.

When the device runs out of memory the micro-batch is halved, then layers are
computed again instead of kept, and the whole step is done anew: the step's
examples, and so its effective batch, never change. Knows batches and the
backbone; knows nothing of optimisers or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from training.backbone import Backbone
from training.batches import IGNORED, Batch, Batching, micro_batches
from training.errors import OutOfMemory
from training.examples import Example
from training.loss import token_losses
from training.ranks import Ranks


class Gradients:
    """`tokens` is the most places of a micro-batch; it only ever falls."""

    def __init__(
        self,
        backbone: Backbone,
        device: torch.device,
        parameters: Sequence[torch.nn.Parameter],
        *,
        tokens: int,
        batching: Batching,
        ranks: Ranks,
        say: Callable[[str], None],
    ) -> None:
        self.backbone, self.tokens = backbone, tokens
        self._device, self._parameters = device, parameters
        self._batching, self._ranks, self._say = batching, ranks, say

    def step(self, examples: Sequence[Example], chosen: Sequence[int], scale: float) -> float:
        """Put gradients of the mean loss, times `scale`, on the parameters; the loss in nats."""
        taught = sum(examples[index].taught for index in chosen)
        while True:
            # A second try draws the same dropout as the first would have.
            before = torch.get_rng_state()
            try:
                total, fits = self._all(examples, chosen, scale / taught), True
            except torch.OutOfMemoryError:
                total, fits = 0.0, False
            if self._ranks.all_true(fits, self._device):
                break
            self.forget()
            self._smaller(examples, chosen)
            torch.set_rng_state(before)
        self._ranks.sum_gradients(self._parameters)
        return self._ranks.total(total, self._device) / taught

    def forget(self) -> None:
        """No gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def _all(self, examples: Sequence[Example], chosen: Sequence[int], weight: float) -> float:
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for batch in self._own(examples, chosen):
            losses = self.losses(batch.to(self._device))
            torch.autograd.backward(losses.sum() * weight)
            total += losses.detach().sum()
        return float(total)

    def losses(self, batch: Batch) -> torch.Tensor:
        """The loss of each taught token of a batch, row by row."""
        hidden = self.backbone.hidden(batch)
        taught = batch.labels != IGNORED
        return token_losses(hidden[taught], self.backbone.head, batch.labels[taught])

    def _own(self, examples: Sequence[Example], chosen: Sequence[int]) -> Iterator[Batch]:
        """This process's micro-batches; all have as many, since sharding waits for all."""
        shares = [
            list(chosen[index :: self._ranks.count]) if self._ranks.count > 1 else list(chosen)
            for index in range(self._ranks.count)
        ]
        batches = [
            list(micro_batches(examples, share or chosen[:1], self.tokens, self._batching))
            for share in shares
        ]
        own, most = batches[self._ranks.index], max(len(one) for one in batches)
        if not shares[self._ranks.index]:
            own = [_untaught(own[0])]
        yield from own
        for _ in range(most - len(own)):
            yield _untaught(own[-1])

    def _smaller(self, examples: Sequence[Example], chosen: Sequence[int]) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        longest = max(len(examples[index]) for index in chosen)
        if self._ranks.shard:
            raise OutOfMemory("The memory ran out on a shard: set a smaller fit.micro_batch.")
        if self.tokens > longest:
            self.tokens = max(longest, self.tokens // 2)
            self._say(f"Memory ran out: micro-batches now hold {self.tokens} tokens; same step.")
        elif not self.backbone.recompute:
            self.backbone.recompute = True
            self._say("Memory ran out: layers are now computed again instead of kept; same step.")
        else:
            raise OutOfMemory(
                f"One sequence of {longest} tokens does not fit the memory: lower data.max_length."
            )


def _untaught(batch: Batch) -> Batch:
    return replace(batch, labels=torch.full_like(batch.labels, IGNORED))


@torch.no_grad()
def example_losses(
    gradients: Gradients, examples: Sequence[Example], device: torch.device
) -> list[float]:
    """Each example's loss, summed over its taught tokens, in nats."""
    found = [0.0] * len(examples)
    order = range(len(examples))
    for batch in micro_batches(examples, order, gradients.tokens, "length"):
        losses = gradients.losses(batch.to(device)).double().cpu()
        counts = [examples[index].taught for index in batch.examples]
        for index, part in zip(batch.examples, torch.split(losses, counts), strict=True):
            found[index] = float(part.sum())
    return found
