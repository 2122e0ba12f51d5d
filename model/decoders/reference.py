"""The reference decoder: any transformers causal LM with PEFT adapters, CPU or GPU.

It is the oracle that faster decoders are compared with. Sequences on one
adapter version step together; a sequence stays on the version it began with.
Knows token ids and adapters; knows nothing of text, people or fairness.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from model.adapters import check_files, check_weights
from model.decoders.batch import Batch
from model.types import AdapterInfo, AdapterRefused


class ReferenceDecoder:
    """Slots over a transformers model; `model` may already be quantised."""

    def __init__(self, model: Any, tokenizer: Any, name: str, *, demo: bool = False) -> None:
        self._base = model.eval()
        self._model: Any = self._base
        self.tokenizer = tokenizer
        self.name = name
        self.demo = demo
        self.adapter: AdapterInfo | None = None
        self.quantised_modules = 0
        self._version = 0
        self._batches: dict[int, Batch] = {}
        self._version_of: dict[int, int] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._base.device
        return device

    @property
    def context(self) -> int:
        """Tokens a sequence may have, prompt and reply together."""
        return int(getattr(self._base.config, "max_position_embeddings", 2048) or 2048)

    @property
    def parameters(self) -> int:
        """Weights of the base model, counted before quantisation."""
        return int(self._base.num_parameters())

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

    def prefill(self, slot: int, ids: list[int]) -> torch.Tensor:
        """Begin a sequence on the current adapter; logits of its next token."""
        self._use(self._version)
        self._version_of[slot] = self._version
        batch = self._batches.setdefault(self._version, Batch(self._model, self.device))
        return batch.join(slot, ids)

    def step(self, tokens: dict[int, int]) -> dict[int, torch.Tensor]:
        """One token further for every sequence in `tokens` (slot to last token)."""
        found: dict[int, torch.Tensor] = {}
        for version, batch in self._batches.items():
            if not batch.slots:
                continue
            self._use(version)
            logits = batch.step([tokens[slot] for slot in batch.slots])
            found.update(zip(batch.slots, logits, strict=True))
        return found

    def release(self, slot: int) -> None:
        """End a sequence; an adapter that no sequence uses any more is dropped."""
        version = self._version_of.pop(slot)
        self._batches[version].leave(slot)
        if not self._batches[version].slots:
            del self._batches[version]
            if version != self._version:
                self._drop(version)

    def load_adapter(self, info: AdapterInfo | None) -> None:
        """New sequences use this adapter; raises AdapterRefused and changes nothing."""
        version = self._version + 1
        if info is not None:
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
        if f"v{version}" in getattr(self._model, "peft_config", {}):
            self._model.delete_adapter(f"v{version}")

    def _use(self, version: int) -> None:
        """Point the LoRA layers at one version; a version without adapter at none."""
        if not hasattr(self._model, "peft_config"):
            return
        tuner = self._model.base_model
        if f"v{version}" in self._model.peft_config:
            tuner.enable_adapter_layers()
            tuner.set_adapter(f"v{version}")
        else:
            tuner.disable_adapter_layers()

    @torch.inference_mode()
    def _canary(self, version: int) -> None:
        self._use(version)
        ids = torch.arange(1, 9, device=self.device).unsqueeze(0)
        if not bool(torch.isfinite(self._model(input_ids=ids).logits).all()):
            raise AdapterRefused("The adapter makes the model write nothing but noise.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
