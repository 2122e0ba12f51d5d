"""Versions of a PEFT adapter on one transformers model: stage, switch, drop.

Knows PEFT and files; knows nothing of slots or sampling. A version without an
adapter is the plain model.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

import torch

from model.adapters import check_base, check_files, check_weights
from model.decoders.protocol import Noise
from model.types import AdapterInfo, AdapterRefused


class Banks:
    """The adapters that sequences run on. `base` is the hub id that they must name."""

    def __init__(self, model: Any, base: str | None) -> None:
        self.model: Any = model
        self.adapter: AdapterInfo | None = None
        self.current = 0
        self._base, self._hub_id = model, base
        self._active: int | None = None

    def stage(self, info: AdapterInfo | None) -> AdapterInfo | None:
        """All that can be checked without the model; from any thread."""
        if info is not None:
            check_base(info, self._hub_id)
            check_files(info)
        return info

    def switch(self, info: AdapterInfo | None) -> None:
        """New sequences use this adapter; raises AdapterRefused and changes nothing."""
        version = self.current + 1
        try:
            if info is not None:
                self._add(version, info.path)
                check_weights(self.model, f"v{version}", info)
            self._canary(version)
        except (AdapterRefused, Noise):
            self._drop(version)
            raise
        except (ValueError, RuntimeError, KeyError, OSError, TypeError) as error:
            self._drop(version)
            name = info.name if info else "none"
            raise AdapterRefused(
                f"The adapter {name} does not fit this model: {_first_line(error)}"
            ) from error
        self.current, self.adapter = version, info

    def keep(self, versions: Set[int]) -> None:
        """Drop every adapter but the current one and those in use."""
        for name in list(getattr(self.model, "peft_config", {})):
            version = int(name[1:])
            if version != self.current and version not in versions:
                self._drop(version)

    def use(self, version: int) -> Any:
        """The plain model, its LoRA layers pointed at one version.

        PEFT's own forward asks for the adapter that was active last, which may have gone.
        """
        if not hasattr(self.model, "peft_config"):
            return self.model
        tuner = self.model.base_model
        if version != self._active:
            if f"v{version}" in self.model.peft_config:
                tuner.enable_adapter_layers()
                self.model.set_adapter(f"v{version}")
            else:
                tuner.disable_adapter_layers()
            self._active = version
        return tuner.model

    def _add(self, version: int, path: Path) -> None:
        from peft import PeftModel

        name = f"v{version}"
        if isinstance(self.model, PeftModel):
            self.model.load_adapter(str(path), name, is_trainable=False)
        else:
            wrapped = PeftModel.from_pretrained(self._base, str(path), name, is_trainable=False)
            self.model = wrapped.eval()
        self.model.eval()

    def _drop(self, version: int) -> None:
        self._active = None
        if f"v{version}" in getattr(self.model, "peft_config", {}):
            self.model.delete_adapter(f"v{version}")

    @torch.inference_mode()
    def _canary(self, version: int) -> None:
        model = self.use(version)
        ids = torch.arange(1, 9, device=self._base.device).unsqueeze(0)
        if not bool(torch.isfinite(model(input_ids=ids, use_cache=False).logits).all()):
            raise AdapterRefused("The adapter makes the model write nothing but noise.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
