"""The reference decoder: any transformers causal LM with PEFT adapters, CPU or GPU.

It is the oracle that faster decoders are compared with. Sequences on one
adapter version step together; a sequence stays on the version it began with.
Knows token ids and adapters; knows nothing of text, people or fairness.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from model.adapters import check_base, check_files, check_weights
from model.decoders.batch import Batch
from model.types import AdapterInfo, AdapterRefused

# Prompt and reply together: what 64 people can have on one GPU at once.
CONTEXT = 2048
# Tokens, padding counted, that one prefill takes: it bounds the attention's memory.
PREFILL_TOKENS = 4096


class ReferenceDecoder:
    """Slots over a transformers model; `model` may already be quantised.

    `base` is the canonical hub id that adapters must name, None if unknown.
    """

    def __init__(
        self, model: Any, tokenizer: Any, name: str, *, base: str | None = None, demo: bool = False
    ) -> None:
        self._base = model.eval()
        self._model: Any = self._base
        self.tokenizer = tokenizer
        self.name = name
        self.base = base
        self.demo = demo
        self.adapter: AdapterInfo | None = None
        self.quantised_modules = 0
        self.path = "transformers, batched"
        self.parameters = int(model.num_parameters())
        # A prefill on a CPU takes as long as its tokens are many: one at a time.
        self.joins_at_once = 1 if self.device.type == "cpu" else 32
        self._version = 0
        self._active: int | None = None
        self._batches: dict[int, Batch] = {}
        self._version_of: dict[int, int] = {}

    @property
    def model(self) -> Any:
        """The transformers model with its adapters, for comparing with its own `generate`."""
        return self._model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._base.device
        return device

    @property
    def context(self) -> int:
        """Tokens a sequence may have, prompt and reply together."""
        able = getattr(self._base.config, "max_position_embeddings", None) or CONTEXT
        return min(int(able), CONTEXT)

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a reply."""
        ids = getattr(self._base.generation_config, "eos_token_id", None)
        found = set(ids) if isinstance(ids, list) else {ids}
        return frozenset(i for i in found | {self.tokenizer.eos_token_id} if i is not None)

    def memory_bytes(self) -> int:
        """What the device's allocator holds; on a CPU the size of the weights."""
        if self.device.type == "cuda":
            return int(torch.cuda.memory_allocated(self.device))
        return int(self._model.get_memory_footprint())

    def prefill(self, prompts: dict[int, list[int]]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Begin sequences on the current adapter; the logits of their next tokens."""
        self._use(self._version)
        if self._version not in self._batches:
            self._batches[self._version] = Batch(self._model, self.device)
        batch = self._batches[self._version]
        for group in _groups(prompts):
            logits = batch.join(group)
            self._version_of.update(dict.fromkeys(group, self._version))
            yield list(group), logits

    def step(self, tokens: dict[int, int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """One token further for every sequence in `tokens` (slot to last token)."""
        for version, batch in self._batches.items():
            if batch.slots:
                self._use(version)
                yield list(batch.slots), batch.step([tokens[slot] for slot in batch.slots])

    def release(self, slot: int) -> None:
        """End a sequence; an adapter that no sequence uses any more is dropped."""
        version = self._version_of.pop(slot, None)
        if version is None:
            return
        self._batches[version].leave(slot)
        if not self._batches[version].slots:
            self._forget(version)

    def clear(self) -> None:
        """End every sequence, also after a step that broke off in the middle."""
        self._version_of.clear()
        for version in list(self._batches):
            self._forget(version)

    def _forget(self, version: int) -> None:
        del self._batches[version]
        if version != self._version:
            self._drop(version)

    def load_adapter(self, info: AdapterInfo | None) -> None:
        """New sequences use this adapter; raises AdapterRefused and changes nothing."""
        version = self._version + 1
        if info is not None:
            check_base(info, self.base)
            check_files(info)
            try:
                self._add(version, info.path)
                check_weights(self._model, f"v{version}", info)
                self._canary(version)
            except AdapterRefused:
                self._drop(version)
                raise
            except (ValueError, RuntimeError, KeyError, OSError, TypeError) as error:
                self._drop(version)
                raise AdapterRefused(
                    f"The adapter {info.name} does not fit this model: {_first_line(error)}"
                ) from error
        old, self._version, self.adapter = self._version, version, info
        if old not in self._batches:
            self._drop(old)

    def _add(self, version: int, path: Path) -> None:
        from peft import PeftModel

        name = f"v{version}"
        if isinstance(self._model, PeftModel):
            self._model.load_adapter(str(path), name, is_trainable=False)
        else:
            wrapped = PeftModel.from_pretrained(self._base, str(path), name, is_trainable=False)
            self._model = wrapped.eval()
        self._model.eval()

    def _drop(self, version: int) -> None:
        self._active = None
        if f"v{version}" in getattr(self._model, "peft_config", {}):
            self._model.delete_adapter(f"v{version}")

    def _use(self, version: int) -> None:
        """Point the LoRA layers at one version; a version without adapter at none."""
        if version == self._active or not hasattr(self._model, "peft_config"):
            return
        tuner = self._model.base_model
        if f"v{version}" in self._model.peft_config:
            tuner.enable_adapter_layers()
            tuner.set_adapter(f"v{version}")
        else:
            tuner.disable_adapter_layers()
        self._active = version

    @torch.inference_mode()
    def _canary(self, version: int) -> None:
        self._use(version)
        ids = torch.arange(1, 9, device=self.device).unsqueeze(0)
        if not bool(torch.isfinite(self._model(input_ids=ids).logits).all()):
            raise AdapterRefused("The adapter makes the model write nothing but noise.")


def _groups(prompts: dict[int, list[int]]) -> Iterator[dict[int, list[int]]]:
    """Prompts of similar length together, each group within PREFILL_TOKENS."""
    group: dict[int, list[int]] = {}
    for slot, ids in sorted(prompts.items(), key=lambda item: len(item[1])):
        if group and (len(group) + 1) * len(ids) > PREFILL_TOKENS:
            yield group
            group = {}
        group[slot] = ids
    if group:
        yield group


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
