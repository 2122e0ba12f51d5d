"""What a decoder is to the engine: slots that hold tokens, and steps that draw the next ones.

A slot is a row of key/value memory. A sequence is opened in a slot, its prompt
is put in by `extend`, chunk by chunk, and each `step` draws one token for each
slot that it names. A closed slot keeps its KV: the engine remembers which
tokens stand there and may open the next sequence on that prefix.

The engine calls everything but `stage` from one thread. Knows nothing of text,
people, waiting or fairness; nothing here imports torch.

    open ── extend ── extend(last) ── step ── step ── … ── close ──▶ open(keep=…)

Beside the first contract there are `current`, `ahead`, DeviceLost and Noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from model.types import AdapterInfo


class DeviceLost(Exception):
    """The device cannot be used again by this process (a sticky CUDA error)."""


class Noise(Exception):
    """The model writes values that are not numbers."""


@dataclass(frozen=True, slots=True)
class Draw:
    """How one sequence chooses its tokens.

    `temperature` 0 is greedy; `top_k` 0 is all. `seed` and a token's place in
    its sequence alone decide the random number that it is drawn with, so the
    same seed gives the same tokens whatever else is in the batch.
    """

    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    seed: int


class Pending(Protocol):
    """Tokens that the device may still be drawing."""

    def tokens(self) -> dict[int, int]:
        """Slot to token; waits for the device. Asked once."""


class Decoder(Protocol):
    """A model that decodes many slots at once.

    `path` names the kernels in use; `base` is the canonical hub id that adapters
    must name, None if unknown. `slots` counts the rows of KV, parked ones
    included; `width` is the most slots in one step; `context` the tokens that a
    slot can hold, prompt and reply together; `prefill_tokens` the most prompt
    tokens in one `extend`, all slots together, chosen so that running streams
    stand still for less than about 50 ms.

    `ahead` is True where `step` returns while the device still works: the engine
    then launches step n+1 before it reads the tokens of step n, and a slot may
    be stepped once more after the token that ended it. Where it is False a step
    is done when it returns.

    `adapter` and `current` are the adapter, and the number of its version, that
    sequences are opened on now. Versions only grow.
    """

    name: str
    path: str
    demo: bool
    base: str | None
    tokenizer: Any
    quantised_modules: int
    slots: int
    width: int
    context: int
    prefill_tokens: int
    ahead: bool
    adapter: AdapterInfo | None
    current: int

    @property
    def parameters(self) -> int:
        """How many weights the model has, adapters not counted."""

    @property
    def device(self) -> Any:
        """Where the weights are; has `type`, "cpu" or "cuda"."""

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a reply."""

    def open(self, slot: int, prompt: Sequence[int], keep: int, draw: Draw) -> None:
        """Begin a sequence on the current adapter version; does no work on the device yet.

        KV of the first `keep` prompt tokens already stands in the slot, written
        on that same version (the engine checks `version(slot) == current`);
        `keep` is less than the prompt's length. The repetition penalty counts
        the whole prompt.
        """

    def extend(self, chunks: dict[int, list[int]], last: frozenset[int]) -> Pending:
        """Put the next prompt tokens into slots; draw the first token of slots in `last`.

        `chunks` hold at most `prefill_tokens` tokens in all; the tokens drawn
        are those of `last` only. Where this raises anything but DeviceLost, the
        slots that `chunks` does not name are as they were.
        """

    def step(self, slots: Sequence[int]) -> Pending:
        """Put in each slot's newest drawn token (it stays on the device) and draw the next."""

    def close(self, slot: int) -> None:
        """The sequence ended; its KV stays until the slot is opened again."""

    def version(self, slot: int) -> int:
        """Adapter version on which the slot's KV was written; -1 when it holds none."""

    def clear(self) -> None:
        """Forget every slot and all that is pending, also after a step that broke off."""

    def stage(self, info: AdapterInfo | None) -> Any:
        """Read and check an adapter (hash, shapes, finite) for `switch`; from any thread.

        Running streams go on undisturbed. Raises AdapterRefused. None stages
        the model without an adapter.
        """

    def switch(self, staged: Any) -> None:
        """Canary, then open new sequences on what was staged; between two steps.

        Open sequences end on their own version. The engine switches only while
        all of them are on the current one, so two banks of adapters are enough.
        Raises AdapterRefused (Noise without an adapter) and changes nothing
        when the canary's logits are not finite.
        """

    def memory_bytes(self) -> int:
        """Device memory of weights, adapters and KV."""
