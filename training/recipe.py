"""What one training run is to do: typed options, read from YAML and the command line.

An option that does not exist is an error that names the nearest right one; so
is a name that other trainers use. Knows options only; loads no data, no torch.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from training.errors import RecipeError

PRESETS = ("default", "original", "t4", "demo")


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to learn from: a shipped set's name, a file, a folder's files or a hub id."""

    path: str
    # A dataset's split on the hub.
    split: str = "train"
    # At most this many dialogues, chosen by their hash; None takes all.
    limit: int | None = None
    # "none" trains on every row as it is; that is for data already reviewed.
    lint: Literal["full", "none"] = "full"


@dataclass(frozen=True, slots=True)
class ModelPart:
    """The frozen base."""

    # A hub id, a folder, or `demo`.
    base: str = "tiiuae/falcon-7b"
    # NF4 needs a CUDA GPU; auto quantises wherever there is one.
    quantise: Literal["auto", "nf4", "none"] = "auto"
    # auto is bf16 where the GPU has it, fp16 on older ones (T4), fp32 on a CPU.
    compute: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    # A device's name, such as cuda:1; empty takes the only one.
    device: str = ""


@dataclass(frozen=True, slots=True)
class DataPart:
    """What to learn from, and how it is cleaned."""

    sources: tuple[Source, ...] = (Source("helios172"), Source("counsel_chat"), Source("corpus"))
    # Tokens of prompt and reply together; prompts are cut from their old end.
    max_length: int = 512
    # Share of the questions that is held out.
    held_out: float = 0.1
    # Dialogues at least this alike (Jaccard of 5-word shingles) count as one.
    near_duplicate: float = 0.8
    # Which replies of a dialogue are taught.
    replies: Literal["all", "last"] = "all"
    # Several replies of a dialogue in one row, where the tokens allow it: the same losses, sooner.
    join: bool = True
    # Files whose texts must never be trained on; near-duplicates of them are dropped.
    never: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoraPart:
    """The adapter's shape."""

    rank: int = 32
    alpha: float = 32.0
    dropout: float = 0.05
    # Names of linear layers; empty takes all of the model's but its head.
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FitPart:
    """The optimiser's walk."""

    steps: int = 200
    # Sequences in an optimiser step, over all micro-batches and devices.
    batch: int = 64
    # Sequences of max_length that are computed at once; auto fits the memory.
    micro_batch: int | Literal["auto"] = "auto"
    rate: float = 2e-4
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    # Share of the steps in which the rate rises.
    warmup: float = 0.03
    clip: float = 0.3
    weight_decay: float = 0.0
    beta2: float = 0.999
    optimiser: Literal["adamw", "paged_adamw_32bit"] = "adamw"
    # `padded` keeps rows in the order drawn, as plain trainers do.
    batching: Literal["length", "packed", "padded"] = "length"
    # What is computed again in the backward pass instead of kept.
    checkpointing: Literal["auto", "selective", "full"] = "auto"
    eval_every: int = 20
    # Evaluations without improvement before stopping; 0 never stops early.
    patience: int = 3
    save_every: int = 20
    # Evaluations at which samples are written; 0 writes none.
    samples: int = 2


@dataclass(frozen=True, slots=True)
class ComparePart:
    """The comparison of base and adapter that ends a run."""

    after_fit: bool = True
    prompts: int = 24
    # Prompts from the evaluation-only sets.
    probes: int = 24
    new_tokens: int = 160
    # Prompts written at once.
    width: int = 12


@dataclass(frozen=True, slots=True)
class Recipe:
    """One run, whole."""

    name: str = "default"
    note: str = ""
    seed: int = 42
    model: ModelPart = field(default_factory=ModelPart)
    data: DataPart = field(default_factory=DataPart)
    lora: LoraPart = field(default_factory=LoraPart)
    fit: FitPart = field(default_factory=FitPart)
    compare: ComparePart = field(default_factory=ComparePart)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and JSON hold them."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain


# What other trainers call these options; they were renamed there, too.
ELSEWHERE = {
    "warmup_ratio": "fit.warmup",
    "warmup_steps": "fit.warmup",
    "max_seq_length": "data.max_length",
    "group_by_length": "fit.batching=length",
    "packing": "fit.batching=packed",
    "train_sampling_strategy": "fit.batching",
    "learning_rate": "fit.rate",
    "lr": "fit.rate",
    "max_steps": "fit.steps",
    "num_train_epochs": "fit.steps",
    "epochs": "fit.steps",
    "max_grad_norm": "fit.clip",
    "per_device_train_batch_size": "fit.micro_batch",
    "gradient_accumulation_steps": "fit.batch",
    "gradient_checkpointing": "fit.checkpointing",
    "lr_scheduler_type": "fit.schedule",
    "optim": "fit.optimiser",
    "lora_r": "lora.rank",
    "r": "lora.rank",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
    "target_modules": "lora.targets",
    "base_model": "model.base",
    "datasets": "data.sources",
}


def preset(name: str) -> dict[str, Any]:
    """The YAML of a shipped preset; raises RecipeError."""
    if name not in PRESETS:
        raise RecipeError(f"There is no preset {name}; there are: {', '.join(PRESETS)}.")
    return _yaml((files("training") / "recipes" / f"{name}.yaml").read_text("utf-8"), name)


def load(path: Path) -> dict[str, Any]:
    """The YAML of a recipe's file, on top of the preset that its `preset:` names."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {_reason(error)}.") from error
    found = _yaml(text, str(path))
    under = found.pop("preset", None)
    return merge(preset(str(under)), found) if under else found


def build(values: dict[str, Any], overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """A recipe from plain values and `key=value` words; raises RecipeError."""
    for word in overrides:
        values = merge(values, _override(word))
    recipe: Recipe = _build(Recipe, values, "")
    _check(recipe)
    return recipe


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`, section by section."""
    found = dict(under)
    for key, value in over.items():
        below = found.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        found[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return found


def _override(word: str) -> dict[str, Any]:
    key, equals, value = word.partition("=")
    if not equals:
        raise RecipeError(f"`{word}` is no option: write it as key=value, such as fit.steps=50.")
    found: Any = yaml.safe_load(value) if value.strip() else ""
    for part in reversed(key.strip().split(".")):
        found = {part: found}
    return dict(found)


def _build(kind: Any, values: Any, at: str) -> Any:
    if not isinstance(values, dict):
        raise RecipeError(f"`{at}` holds options; write them as `{at}: {{…}}`.")
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise RecipeError(_unknown(f"{at}{key}", str(key)))
    made = {key: _value(hints[key], value, f"{at}{key}") for key, value in values.items()}
    try:
        return kind(**made)
    except TypeError as error:
        raise RecipeError(f"`{at.rstrip('.')}` lacks an option: {error}.") from error


def _value(hint: Any, value: Any, at: str) -> Any:
    if dataclasses.is_dataclass(hint):
        given = {"path": value} if hint is Source and isinstance(value, str) else value
        return _build(hint, given, f"{at}.")
    if get_origin(hint) is tuple:
        many = value if isinstance(value, list | tuple) else [value]
        return tuple(_value(get_args(hint)[0], one, at) for one in many)
    fitting = _scalar(hint, value)
    if fitting is _NONE_FITS:
        raise RecipeError(f"`{at}` cannot be {value!r}: it must be {_wanted(hint)}.")
    return fitting


_NONE_FITS = object()


def _scalar(hint: Any, value: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        found = [_scalar(one, value) for one in get_args(hint)]
        return next((one for one in found if one is not _NONE_FITS), _NONE_FITS)
    if get_origin(hint) is Literal:
        # YAML reads a bare `none` as a word, but `null` and `~` as nothing.
        return value if value in get_args(hint) else _NONE_FITS
    if hint is float:
        return _number(value)
    right = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    return value if right else _NONE_FITS


def _number(value: Any) -> Any:
    """YAML takes 2e-4 for a word, since it has no point."""
    if isinstance(value, bool):
        return _NONE_FITS
    try:
        return float(value)
    except (TypeError, ValueError):
        return _NONE_FITS


def _wanted(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_wanted(one) for one in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(str(one) for one in get_args(hint))
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, "nothing")


def _unknown(full: str, key: str) -> str:
    if key in ELSEWHERE:
        return f"There is no option `{full}`: here it is `{ELSEWHERE[key]}`."
    known = options()
    near = difflib.get_close_matches(full, known, 1, 0.5)
    near = near or [k for k in known if k.rsplit(".", 1)[-1] == key]
    near = near or difflib.get_close_matches(key, known, 1, 0.4)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"There is no option `{full}`.{hint}"


def options() -> list[str]:
    """Every option's full name."""
    found = []
    for part in dataclasses.fields(Recipe):
        inner = get_type_hints(Recipe)[part.name]
        names = dataclasses.fields(inner) if dataclasses.is_dataclass(inner) else ()
        found += [f"{part.name}.{one.name}" for one in names] or [part.name]
    return found


def _check(recipe: Recipe) -> None:
    """Values that have the right type and still cannot be."""
    fit, data, lora = recipe.fit, recipe.data, recipe.lora
    rules = [
        (fit.steps >= 1, "fit.steps must be at least 1"),
        (fit.batch >= 1, "fit.batch must be at least 1"),
        (fit.micro_batch == "auto" or fit.micro_batch >= 1, "fit.micro_batch must be at least 1"),
        (fit.rate > 0, "fit.rate must be above 0"),
        (0 <= fit.warmup < 1, "fit.warmup is a share of the steps, from 0 to below 1"),
        (fit.clip > 0, "fit.clip must be above 0"),
        (min(fit.eval_every, fit.save_every) >= 1, "fit.eval_every and save_every start at 1"),
        (data.max_length >= 32, "data.max_length must be at least 32 tokens"),
        (0 <= data.held_out < 0.9, "data.held_out is a share, from 0 to below 0.9"),
        (bool(data.sources), "data.sources names nothing to learn from"),
        (lora.rank >= 1, "lora.rank must be at least 1"),
        (0 <= lora.dropout < 1, "lora.dropout is a share, from 0 to below 1"),
        (bool(recipe.name) and "/" not in recipe.name, "name must be a folder's name"),
    ]
    for right, sentence in rules:
        if not right:
            raise RecipeError(f"The recipe cannot be: {sentence}.")


def _yaml(text: str, name: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise RecipeError(f"The recipe {name} is no valid YAML{line}.") from error
    if not isinstance(found, dict):
        raise RecipeError(f"The recipe {name} must hold options, such as `fit: {{steps: 50}}`.")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is no UTF-8 text"
