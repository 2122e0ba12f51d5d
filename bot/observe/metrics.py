"""What is counted while the service runs, for Prometheus and for the dashboard.

Labels come from short closed lists: a person's words, names, ids or numbers can
never become one. Knows nothing of Telegram, HTTP or the database; whoever sees
something happen calls the method that is named after it.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from bot.observe.latency import Latencies

SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)
UPDATES = ("message", "edited_message", "callback_query")
OUTCOMES = ("done", "stopped", "failed", "refused", "fixed", "guarded", "superseded")
OTHER = "other"


class Metrics:
    """One set for one process. Methods never raise: measuring must not cost a reply."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.latencies = Latencies()
        self.counts: dict[str, int] = {}
        registry = self.registry
        self._updates = Counter(
            "lanner_updates", "Updates received from Telegram.", ["kind"], registry=registry
        )
        self._turns = Counter(
            "lanner_turns", "Turns by how they ended.", ["outcome"], registry=registry
        )
        self._tokens = Counter("lanner_tokens", "Tokens written.", registry=registry)
        self._decisions = Counter(
            "lanner_safety_decisions", "Safety decisions by level.", ["level"], registry=registry
        )
        self._troubles = Counter(
            "lanner_troubles", "What went wrong, by part.", ["part"], registry=registry
        )
        self._times = {
            name: Histogram(f"lanner_{name}_seconds", text, buckets=SECONDS, registry=registry)
            for name, text in (
                ("queued", "From asking the model to its beginning."),
                ("first_token", "From asking the model to its first token."),
                ("reply", "From asking the model to the end of its reply."),
                ("added", "From receiving a message to asking the model: the bot's own share."),
            )
        }

    def update(self, kind: str) -> None:
        """An update was received."""
        self._updates.labels(_known(kind, UPDATES)).inc()
        self._count("updates")

    def turn(self, outcome: str, tokens: int = 0) -> None:
        """A turn ended; `outcome` is one of OUTCOMES."""
        self._turns.labels(_known(outcome, OUTCOMES)).inc()
        self._tokens.inc(max(tokens, 0))
        self._count(f"turns {_known(outcome, OUTCOMES)}")

    def took(self, name: str, seconds: float) -> None:
        """Something took so long: queued, first_token, reply or added."""
        if name in self._times and seconds >= 0:
            self._times[name].observe(seconds)
            self.latencies.add(name, seconds)

    def decision(self, level: int) -> None:
        """The safety gate decided; levels are 0 to 3."""
        self._decisions.labels(str(min(max(level, 0), 3))).inc()
        self._count(f"level {min(max(level, 0), 3)}")

    def trouble(self, part: str) -> None:
        """Something failed; `part` names ours, never what a person wrote."""
        part = part if part.isascii() and part.isidentifier() and len(part) <= 32 else OTHER
        self._troubles.labels(part).inc()
        self._count(f"trouble {part}")

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


def _known(value: str, among: tuple[str, ...]) -> str:
    return value if value in among else OTHER
