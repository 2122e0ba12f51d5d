"""What goes into the model and what comes out: plain data, no torch.

Everything that the bot and the engine say to each other is in this file. It
knows nothing of tokens' ids, tensors, Telegram, people or databases; `owner`
and `conversation` are opaque keys.

Errors that callers may see:

    ModelError
    ├── QueueFull          too many waiting; the message is a sentence for a person
    ├── AdapterRefused     an adapter did not load; the old one stays
    └── ModelUnavailable   no model can answer (loading, failed, stopped)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]


class ModelError(Exception):
    """Base of all errors; `str(error)` is one clear sentence."""


class QueueFull(ModelError):
    """The queue holds as many requests as it may."""


class AdapterRefused(ModelError):
    """The adapter was not loaded; the sentence gives the reason."""


class ModelUnavailable(ModelError):
    """No model can answer now."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `temperature` 0 is greedy."""

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 50
    repetition_penalty: float = 1.1
    seed: int | None = None
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One reply to write.

    `turns` is the whole history, oldest first, system turn (if any) first and
    the person's message last; the prompt builder keeps what fits the token
    budget, newest first, and says how many turns it left out.
    """

    id: str
    owner: str
    conversation: str
    turns: tuple[Turn, ...]
    sampling: Sampling = Sampling()
    deadline_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Queued:
    """Waiting: `position` 1 is next; `wait_s` is an estimate, None if unknown."""

    position: int
    wait_s: float | None


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text, never half a character."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a reply. `text` is the whole of it."""

    text: str
    reason: Literal["stop", "length"]
    model: str
    adapter: str | None
    prompt_tokens: int
    completion_tokens: int
    turns_left_out: int
    queued_s: float
    first_token_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Stopped on request; `text` is what was written until then."""

    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No reply; `sentence` can be shown to a person."""

    sentence: str


Event = Queued | Text | Done | Cancelled | Failed


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """A LoRA adapter on disk. `sha256` is of its safetensors file.

    `verdict` and `reasons` are what its training wrote beside it; an adapter
    without a manifest has no verdict.
    """

    name: str
    path: Path
    sha256: str
    base: str
    note: str = ""
    verdict: Literal["go", "no-go"] | None = None
    reasons: tuple[str, ...] = ()


State = Literal["loading", "ready", "reloading", "failed", "hung", "stopped"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What an operator sees. `path` names the kernels in use."""

    state: State
    model: str
    parameters: int
    device: str
    path: str
    demo: bool
    adapter: str | None
    adapter_sha256: str | None
    slots: int
    running: int
    waiting: int
    capacity: int
    context_tokens: int
    tokens_per_s: float
    memory_bytes: int
    quantised_modules: int = 0
    last_error: str | None = None
    extra: dict[str, str] = field(default_factory=dict)


class Model(Protocol):
    """The port through which the bot asks for text; tests implement it too."""

    async def start(self) -> None:
        """Load and begin serving; returns when ready or raises ModelError."""

    async def stop(self) -> None:
        """Cancel all, release the device."""

    def submit(self, request: Request) -> AsyncIterator[Event]:
        """Events of one reply, ending in exactly one Done, Cancelled or Failed.

        Raises QueueFull or ModelUnavailable at the first iteration. Leaving
        the iterator early cancels the request.
        """

    def cancel(self, request_id: str) -> bool:
        """Stop at the next token; False when it is not running or waiting."""

    async def reload(self, adapter: str | None, *, force: bool = False) -> ModelStatus:
        """Swap the adapter (a name, or None for none); running replies end on theirs.

        Raises AdapterRefused, also for an adapter whose verdict is no-go unless
        `force`; the old adapter then stays.
        """

    async def reload_base(self, model: str) -> ModelStatus:
        """Let running replies end, then serve another base model.

        Raises ModelUnavailable with the reason; the old base then serves on.
        """

    def failed(self) -> Awaitable[str]:
        """Returns a sentence once the device is dead, and never before.

        Dead is hung past its limit, or broken so that this process cannot use
        it again. Open replies have then failed; the process should end.
        """

    def adapters(self) -> Sequence[AdapterInfo]:
        """Adapters that can be named in `reload`."""

    def status(self) -> ModelStatus:
        """What an operator sees now."""
