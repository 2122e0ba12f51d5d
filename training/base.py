"""The frozen model that an adapter is trained on, and the device it is on.

Falcon in NF4 on a GPU, with its layers counted; anything else as it is. Knows
hub ids, folders, types and devices; knows nothing of data or optimisers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.adapters import canonical
from model.demo import HUB_ID, demo_folder
from model.loading import check_quantised, quiet, repair_falcon, why_not
from model.types import ModelUnavailable
from training.errors import RecipeError, TrainingError
from training.ranks import Ranks
from training.recipe import ModelPart

DEMO = "demo"
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded model. `name` is what an adapter's config says it was made for."""

    model: Any
    tokenizer: Any
    name: str
    device: torch.device
    compute: torch.dtype
    quantised: int
    demo: bool


def choose_device(part: ModelPart, ranks: Ranks, gpus: int | None = None) -> torch.device:
    """The device of this process; several visible GPUs without a launcher are an error.

    `gpus` is how many are visible; None counts them.
    """
    if part.device:
        return torch.device(part.device)
    seen = torch.cuda.device_count() if gpus is None else gpus
    if not seen:
        return torch.device("cpu")
    if seen > 1 and ranks.count == 1:
        raise RecipeError(
            f"This machine shows {seen} GPUs: choose one with model.device=cuda:0, or use all with "
            f"`accelerate launch --num_processes {seen} -m training fit …`."
        )
    return torch.device("cuda", ranks.local)


def choose_compute(
    part: ModelPart, device: torch.device, has_bf16: bool | None = None
) -> torch.dtype:
    """bf16 where the GPU really has it, fp16 on older ones, fp32 on a CPU.

    `has_bf16` None asks the GPU.
    """
    if device.type != "cuda":
        return TYPES[part.compute] if part.compute != "auto" else torch.float32
    able = has_bf16
    if able is None:
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    if part.compute == "bf16" and not able:
        raise RecipeError("This GPU has no bf16: set model.compute=fp16 (or use --preset t4).")
    if part.compute == "auto":
        return torch.bfloat16 if able else torch.float16
    return TYPES[part.compute]


def quantises(part: ModelPart, device: torch.device) -> bool:
    """Whether the base goes into NF4; raises RecipeError where that is asked and cannot be."""
    if part.quantise == "nf4" and device.type != "cuda":
        raise RecipeError(
            "NF4 training needs a CUDA GPU: set model.quantise=none, or train the demo model with "
            "--preset demo."
        )
    return part.quantise != "none" and device.type == "cuda"


def source_of(part: ModelPart, data_dir: Path, say: Callable[[str], None]) -> tuple[str, str]:
    """(where the weights are, the canonical hub id or what comes nearest)."""
    if part.base == DEMO:
        return str(demo_folder(data_dir, say)), HUB_ID
    return part.base, _hub_id(part.base)


def load_base(part: ModelPart, data_dir: Path, ranks: Ranks, say: Callable[[str], None]) -> Base:
    """Load the base; raises TrainingError or ModelUnavailable with one sentence."""
    quiet()
    # transformers and peft say this about each other; nobody at the terminal can do anything.
    warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
    device = choose_device(part, ranks)
    compute, nf4 = choose_compute(part, device), quantises(part, device)
    source, name = source_of(part, data_dir, say)
    say(f"Loading {name} on {device} ({'NF4, ' if nf4 else ''}{str(compute)[6:]}).")
    model, tokenizer = _opened(source, device, compute, nf4=nf4)
    quantised = check_quantised(model) if nf4 else 0
    return Base(model, tokenizer, name, device, compute, quantised, part.base == DEMO)


def _opened(
    source: str, device: torch.device, compute: torch.dtype, *, nf4: bool
) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = nf4_options(device, compute) if nf4 else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        if tokenizer.eos_token is None:
            raise TrainingError(f"The tokenizer of {source} has no EOS: a reply could never end.")
        repair_falcon()
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=compute, trust_remote_code=False, **options
        )
    except OSError as error:
        raise ModelUnavailable(why_not(source)) from error
    except torch.OutOfMemoryError as error:
        raise ModelUnavailable(f"The GPU's memory does not hold {source}: free some.") from error
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelUnavailable(
            f"The model {source} cannot be loaded ({type(error).__name__}): it must be a causal "
            "language model that transformers knows without code of its own."
        ) from error
    return (model if nf4 else model.to(device)), tokenizer


def nf4_options(device: torch.device, compute: torch.dtype) -> dict[str, Any]:
    """NF4 with double quantisation."""
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _hub_id(name: str) -> str:
    """The hub id that a folder's own config names; a path says nothing on another machine."""
    known = canonical(name)
    if known is not None:
        return known
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError):
        return Path(name).name
    # A folder that `merge` or a trainer wrote remembers where it came from.
    told = canonical(str(getattr(config, "lanner_base", "")))
    shape = (config.model_type, getattr(config, "hidden_size", 0), config.num_hidden_layers)
    by_shape = {("falcon", 4544, 32): "tiiuae/falcon-7b", ("llama", 576, 30): HUB_ID}
    return told or by_shape.get(shape) or Path(name).name
