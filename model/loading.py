"""Which model to load, and how: Falcon in NF4 on a GPU, the demo model without one.

Knows hub ids, folders and quantisation; knows nothing of requests or people.
Errors are ModelUnavailable with one sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.adapters import SHIPPED, canonical
from model.decoders.protocol import Decoder
from model.demo import HUB_ID, demo_folder
from model.engine import Engine
from model.jobs import DoesNotFit
from model.queue import WorkerQueue
from model.remote import RemoteModel
from model.types import Model, ModelUnavailable

FALCON = "tiiuae/falcon-7b"
DEMO = "demo"
GPU_SLOTS, CPU_SLOTS = 64, 4
# Conversations parked on a CPU for each that runs; the share of a GPU's free memory for all KV.
PARKED_CPU, PARKED_SHARE = 4, 0.3


def open_model(
    *,
    model: str | None,
    adapter: str | None,
    data_dir: Path,
    adapters_dir: Path,
    slots: int | None = None,
    capacity: int = 64,
    remote_key: str | None = None,
    kernels: str = "auto",
    say: Callable[[str], None] = print,
) -> Model:
    """A model whose `start()` loads; nothing heavy happens here.

    `model` may be a server: http://host:8000/v1#name. `slots` is how many
    replies may be written at the same time. `kernels` is for Falcon on a GPU.
    """
    if model is not None and model.startswith(("http://", "https://")):
        url, _, name = model.partition("#")
        return RemoteModel(url, name or "default", key=remote_key, capacity=capacity)

    def engine(name: str | None) -> Engine:
        return Engine(load_decoder(name, data_dir, say, slots, kernels))

    return WorkerQueue(
        lambda: engine(model),
        adapters_dir,
        adapter=adapter,
        shipped=SHIPPED,
        build_base=engine,
        capacity=capacity,
    )


def load_decoder(
    name: str | None,
    data_dir: Path,
    say: Callable[[str], None],
    width: int | None = None,
    kernels: str = "auto",
) -> Decoder:
    """A decoder for the named model, or for what suits this machine."""
    import torch

    quiet()
    cuda = torch.cuda.is_available()
    name = name or (FALCON if cuda else DEMO)
    if not cuda:
        say("No CUDA GPU was found: the model runs on the CPU.")
    if name == DEMO:
        say("Loading the demo model, SmolLM2-135M-Instruct; a real service runs Falcon-7B.")
        return _decoder(str(demo_folder(data_dir, say)), HUB_ID, HUB_ID, width, demo=True)
    say(f"Loading {name}.")
    fast = _fast_falcon(name, width, data_dir, say, kernels)
    return fast or _decoder(name, name, canonical(name), width)


def _fast_falcon(
    name: str, width: int | None, data_dir: Path, say: Callable[[str], None], kernels: str
) -> Decoder | None:
    """Falcon on kernels of its own, if it is a Falcon and the GPU is one for them."""
    import torch

    from model.decoders.falcon import load

    if not torch.cuda.is_available():
        return None
    try:
        return load.decoder(
            name,
            name,
            canonical(name),
            width=width or GPU_SLOTS,
            cache=data_dir / "cache",
            say=say,
            kernels=kernels,
        )
    except torch.OutOfMemoryError as error:
        raise DoesNotFit(
            f"The GPU's memory does not hold {name}: free some, or name a smaller model in "
            "LANNER_MODEL."
        ) from error
    except OSError as error:
        raise ModelUnavailable(why_not(name)) from error


def _decoder(
    source: str, name: str, base: str | None, width: int | None, *, demo: bool = False
) -> Decoder:
    """The fastest decoder that knows the model; the reference decoder knows them all."""
    import torch

    from model.decoders.cpu.decoder import CpuDecoder, choose_threads
    from model.decoders.cpu.shape import shape_of
    from model.decoders.reference import ReferenceDecoder

    cuda = torch.cuda.is_available()
    width = width or (GPU_SLOTS if cuda else CPU_SLOTS)
    model, tokenizer = _opened(source, nf4=cuda and not demo)
    slots = _slots(model.config, width)
    if not cuda and shape_of(model.config) is not None:
        # Threads that wait for each other on a busy machine pack weights ten times slower than one.
        torch.set_num_threads(1)
        fast = CpuDecoder(model, tokenizer, name, base=base, demo=demo, width=width, slots=slots)
        threads = choose_threads(fast)
        fast.path += f", {threads} threads" if threads > 1 else ", 1 thread"
        return fast
    decoder = ReferenceDecoder(
        model, tokenizer, name, base=base, demo=demo, width=width, slots=slots
    )
    if cuda and not demo:
        decoder.quantised_modules = check_quantised(model)
        decoder.path = "transformers, batched, bitsandbytes NF4"
    return decoder


def _slots(config: Any, width: int) -> int:
    """Slots for running and parked conversations: parked ones may fill a part of what is free."""
    import torch

    from model.memory import CONTEXT_TOKENS, kv_bytes

    if not torch.cuda.is_available():
        return PARKED_CPU * width
    free = torch.cuda.mem_get_info()[0] * PARKED_SHARE
    return max(width, min(4 * width, int(free / (kv_bytes(config) * CONTEXT_TOKENS))))


def _opened(source: str, *, nf4: bool) -> tuple[Any, Any]:
    """The model and its tokenizer; every way to fail becomes a sentence."""
    import torch
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        return (_load_nf4(source) if nf4 else _load_plain(source)), tokenizer
    except OSError as error:
        raise ModelUnavailable(why_not(source)) from error
    except torch.OutOfMemoryError as error:
        raise DoesNotFit(
            f"The GPU's memory does not hold {source}: free some, or name a smaller model in "
            "LANNER_MODEL."
        ) from error
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelUnavailable(
            f"The model {source} cannot be loaded ({type(error).__name__}): it must be a causal "
            "language model that transformers knows without code of its own."
        ) from error


def _load_plain(source: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16, trust_remote_code=False
    )
    return model.to(device)


def _load_nf4(source: str) -> Any:
    """NF4 with double quantisation, computing in bf16 where the GPU can (a T4 cannot)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    _check_memory(AutoConfig.from_pretrained(source, trust_remote_code=False), source)
    repair_falcon()
    able = torch.cuda.is_bf16_supported(including_emulation=False)
    dtype = torch.bfloat16 if able else torch.float16
    return AutoModelForCausalLM.from_pretrained(
        source,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        ),
        device_map={"": 0},
        dtype=dtype,
        trust_remote_code=False,
    )


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


def _check_memory(config: Any, source: str) -> None:
    import torch

    from model.memory import WORKING_BYTES, nf4_bytes

    # What a model that has gone has left behind counts as free.
    torch.cuda.empty_cache()
    need, free = nf4_bytes(config) + WORKING_BYTES, torch.cuda.mem_get_info()[0]
    if free < need:
        raise DoesNotFit(
            f"The GPU has {free / 1e9:.1f} GB free and {source} needs about {need / 1e9:.1f} GB: "
            "free some memory or name a smaller model in LANNER_MODEL."
        )


def why_not(source: str) -> str:
    """Why there is no model under that name, and what to do."""
    if Path(source).is_dir():
        return f"The folder {source} does not hold a whole model: it needs config.json and weights."
    if canonical(source) is not None:
        return (
            f"The model {source} could not be fetched: check the network and the name, or name "
            "a local folder in LANNER_MODEL."
        )
    return f"There is no model at {source}: set LANNER_MODEL to a folder, a hub id or `demo`."


def quiet() -> None:
    """Progress bars and library warnings are not for the person at the terminal."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
