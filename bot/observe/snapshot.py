"""What an operator sees at one moment: plain data, without anyone's words.

Knows the model's status and the metrics; knows nothing of HTTP or of where the
numbers about the database and the poll come from: they are handed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from bot.observe.metrics import Metrics
from model.types import ModelStatus

# A long poll takes up to 20 seconds; three missed ones are a silence.
SILENT_POLL_S = 90.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where readings come from. `since_poll` gives seconds, None before the first poll.

    `quarantined` asks the database and raises when that cannot be read; `safety`
    is None while all of the safety gate works, else a sentence.
    """

    model: Callable[[], ModelStatus]
    since_poll: Callable[[], float | None]
    quarantined: Callable[[], Awaitable[int]]
    chats_under_way: Callable[[], int]
    safety: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of being ready; `sentence` says what to do when it is not met."""

    name: str
    ok: bool
    sentence: str = ""


async def checks(sources: Sources) -> list[Check]:
    """Everything that must hold before people are let in."""
    return [_model(sources), await _database(sources), _poll(sources), _safety(sources)]


async def snapshot(sources: Sources, metrics: Metrics) -> dict[str, Any]:
    """All readings, ready for JSON."""
    status = sources.model()
    held = await checks(sources)
    database = next(check for check in held if check.name == "database").ok
    return {
        "checks": [asdict(check) for check in held],
        "model": _model_readings(status),
        "since_poll_s": sources.since_poll(),
        "chats_under_way": sources.chats_under_way(),
        "quarantined": await sources.quarantined() if database else None,
        "latency_s": {n: asdict(p) for n, p in metrics.latencies.percentiles().items()},
        "counts": dict(sorted(metrics.counts.items())),
    }


def _model(sources: Sources) -> Check:
    status = sources.model()
    ok = status.state in ("ready", "reloading")
    why = status.last_error or f"the model is {status.state}"
    return Check("model", ok, "" if ok else f"No replies can be written: {why}")


async def _database(sources: Sources) -> Check:
    try:
        await sources.quarantined()
    except Exception as error:
        # Whatever the driver raises, the operator needs one line; its text may hold values.
        name = type(error).__name__
        return Check("database", False, f"The database cannot be read ({name}): run make doctor.")
    return Check("database", True)


def _poll(sources: Sources) -> Check:
    since = sources.since_poll()
    if since is None:
        return Check("telegram", False, "Telegram has not been reached yet.")
    if since > SILENT_POLL_S:
        return Check(
            "telegram", False, f"Telegram was last reached {since:.0f} s ago: check the network."
        )
    return Check("telegram", True)


def _safety(sources: Sources) -> Check:
    trouble = sources.safety()
    return Check("safety", trouble is None, trouble or "")


def _model_readings(status: ModelStatus) -> dict[str, Any]:
    names = (
        "state", "model", "demo", "parameters", "device", "path", "adapter", "adapter_sha256",
        "slots", "running", "waiting", "capacity", "tokens_per_s", "memory_bytes", "last_error",
    )  # fmt: skip
    return {name: getattr(status, name) for name in names}
