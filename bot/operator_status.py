"""The service as an operator sees it, in words: for /status and for the demo page's banner.

Knows the model's status and the counts; knows nothing of people or of their words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from bot.observing import Counts
from bot.safety.gate import SafetyGate
from bot.store.store import Store
from model.types import Model


@dataclass
class OperatorStatus:
    """`poll_age_s` gives seconds since Telegram last answered, None before."""

    model: Model
    store: Store
    counts: Counts
    poll_age_s: Callable[[], float | None]
    gate: SafetyGate | None = None

    async def words(self) -> str:
        """Everything, a line each."""
        safety = [f"Safety: {self.gate.health().sentence}"] if self.gate else []
        return "\n".join([*self._model(), *safety, *await self._service()])

    def _model(self) -> list[str]:
        now = self.model.status()
        return [
            f"Model: {now.model or 'none'} ({now.state}), {now.parameters / 1e6:.0f} M, "
            f"on {now.device or 'no device'} by {now.path or 'nothing'}",
            f"Adapter: {now.adapter or 'none'} {(now.adapter_sha256 or '')[:16]}".rstrip(),
            f"Running {now.running} of {now.slots}, waiting {now.waiting} of "
            f"{now.capacity}, {now.tokens_per_s:.1f} tokens/s in all",
            f"Memory: {now.memory_bytes / 1e9:.2f} GB",
            f"Last model error: {now.last_error or 'none'}",
        ]

    async def _service(self) -> list[str]:
        ends, events = self.counts.ends, self.counts.events
        return [
            f"Last poll: {age(self.poll_age_s())}; polling restarted {events['poll_restart']} "
            "times",
            "Turns since the start: " + (_listed(dict(ends)) or "none"),
            "Errors since the start: "
            + (
                _listed({name: n for name, n in events.items() if name != "poll_restart"}) or "none"
            ),
            f"Dropped replies: {ends['dropped']}; quarantined updates: "
            f"{await self.store.quarantined_count()}",
        ]


def banner(model: Model, data_dir: str) -> str:
    """Which model talks on the demo page, and where its words are kept."""
    now = model.status()
    if now.state == "loading":
        return "The model is loading…"
    kind = "A demo model, not the product's" if now.demo else "The model"
    return (
        f"{kind}: {now.model or 'none'}, {now.parameters / 1e6:.0f} M parameters, on "
        f"{now.device or 'no device'}. A real service runs Falcon-7B on a GPU. Stored in "
        f"{data_dir}/ on this machine. Not for emergencies."
    )


def age(seconds: float | None) -> str:
    """How long ago, for a status line."""
    return "never" if seconds is None else f"{timedelta(seconds=round(seconds))} ago"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
