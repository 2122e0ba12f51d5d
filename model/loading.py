"""Which model to load, and how: Falcon in NF4 on a GPU, the demo model without one.

Knows hub ids, folders and quantisation; knows nothing of requests or people.
Errors are ModelUnavailable with one sentence that says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.demo import HUB_ID, demo_folder
from model.engine import Engine
from model.queue import WorkerQueue
from model.types import ModelUnavailable

FALCON = "tiiuae/falcon-7b"
DEMO = "demo"


def open_model(
    *,
    model: str | None,
    adapter: str | None,
    data_dir: Path,
    adapters_dir: Path,
    slots: int | None = None,
    capacity: int = 64,
    say: Callable[[str], None] = print,
) -> WorkerQueue:
    """A queue whose `start()` loads; nothing heavy happens here."""

    def build() -> Engine:
        decoder = load_decoder(model, data_dir, say)
        return Engine(decoder, slots or (4 if decoder.device.type == "cpu" else 64))

    return WorkerQueue(build, adapters_dir, adapter=adapter, capacity=capacity)


def load_decoder(name: str | None, data_dir: Path, say: Callable[[str], None]) -> Any:
    """A decoder for the named model, or for what suits this machine."""
    import torch
    from transformers import AutoTokenizer

    from model.decoders.reference import ReferenceDecoder

    quiet()
    cuda = torch.cuda.is_available()
    name = name or (FALCON if cuda else DEMO)
    if not cuda:
        say("No CUDA GPU was found: the model runs on the CPU.")
        torch.set_num_threads(max(1, (os.cpu_count() or 2)))
    if name == DEMO:
        say("Loading the demo model, SmolLM2-135M-Instruct; a real service runs Falcon-7B.")
    source = str(demo_folder(data_dir)) if name == DEMO else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        loaded = _load_nf4(source) if cuda and name != DEMO else _load_plain(source)
    except OSError as error:
        raise ModelUnavailable(_why_not(name)) from error
    decoder = ReferenceDecoder(
        loaded.model, tokenizer, HUB_ID if name == DEMO else name, demo=name == DEMO
    )
    decoder.quantised_modules = loaded.quantised
    return decoder


class _Loaded:
    def __init__(self, model: Any, quantised: int = 0) -> None:
        self.model, self.quantised = model, quantised


def _load_plain(source: str) -> _Loaded:
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16, trust_remote_code=False
    )
    return _Loaded(model.to(device))


def _load_nf4(source: str) -> _Loaded:
    """NF4 with double quantisation and bf16 compute, checked to be so."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    _check_memory(config)
    repair_falcon()
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        source,
        quantization_config=quantisation,
        device_map={"": 0},
        dtype=torch.bfloat16,
        trust_remote_code=False,
    )
    return _Loaded(model, check_quantised(model))


def repair_falcon() -> None:
    """transformers >= 5.5 quantises only plain nn.Linear, and Falcon has its own class."""
    import torch
    from transformers.models.falcon import modeling_falcon

    modeling_falcon.FalconLinear = torch.nn.Linear


def check_quantised(model: Any) -> int:
    """The number of 4-bit modules; raises ModelUnavailable unless Falcon has 4 a layer."""
    found = sum(type(module).__name__ == "Linear4bit" for module in model.modules())
    if model.config.model_type == "falcon":
        wanted = 4 * model.config.num_hidden_layers
        if found != wanted:
            raise ModelUnavailable(
                f"Falcon was not quantised: {found} of {wanted} layers are in 4 bits. "
                "Install the versions in constraints.txt."
            )
    return found


def _check_memory(config: Any) -> None:
    """A rough need: 4.5 bits for each weight of the layers, 16 for each of the embeddings."""
    import torch

    hidden, layers = config.hidden_size, config.num_hidden_layers
    need = (12 * hidden * hidden * layers * 0.57 + 4 * hidden * config.vocab_size) + 1.5e9
    free = torch.cuda.mem_get_info()[0]
    if free < need:
        raise ModelUnavailable(
            f"The GPU has {free / 1e9:.1f} GB free and this model needs about {need / 1e9:.1f} GB: "
            "free some memory or name a smaller model in LANNER_MODEL."
        )


def _why_not(name: str) -> str:
    if Path(name).is_dir():
        return f"The folder {name} does not hold a whole model: it needs config.json and weights."
    if "/" in name and not name.startswith((".", "/")):
        return (
            f"The model {name} could not be fetched: check the network and the name, or name "
            "a local folder in LANNER_MODEL."
        )
    return f"There is no model at {name}: set LANNER_MODEL to a folder, a hub id or `demo`."


def quiet() -> None:
    """Progress bars and library warnings are not for the person at the terminal."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
