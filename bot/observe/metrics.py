"""What is counted while the service runs, for Prometheus and for the dashboard.

Labels come from short closed lists: a person's words, names, ids or numbers can
never become one. Knows outcomes, levels and seconds; knows nothing of Telegram,
HTTP or the database.
"""

from __future__ import annotations

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from bot.observe.latency import Latencies
from bot.observing import End, Event, TurnReport

SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)
ENDS: tuple[str, ...] = get_args(End)
EVENTS: tuple[str, ...] = get_args(Event)
OTHER = "other"


class Metrics:
    """Implements TurnObserver; one for one process. Never raises: that must not cost a reply."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.latencies = Latencies()
        self.counts: dict[str, int] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lanner_{name}", text, labels, registry=registry)

        self._updates = counter("updates", "Updates received from Telegram.")
        self._turns = counter("turns", "Turns by how they ended.", "end")
        self._tokens = counter("tokens", "Tokens written.")
        self._decisions = counter("safety_decisions", "Safety decisions by level.", "level")
        self._events = counter("events", "What an operator may want to look at.", "event")
        self._times = {
            name: Histogram(f"lanner_{name}_seconds", text, buckets=SECONDS, registry=registry)
            for name, text in (
                ("queued", "From asking the model to its beginning."),
                ("first_token", "From asking the model to its first token."),
                ("reply", "From asking the model to the end of its reply."),
            )
        }

    def turn_ended(self, report: TurnReport) -> None:
        """A turn is over."""
        end = report.end if report.end in ENDS else OTHER
        self._turns.labels(end).inc()
        self._count(f"turns {end}")
        if report.total_s <= 0:
            return
        self._tokens.inc(max(report.tokens, 0))
        self._took("queued", report.queued_s)
        self._took("first_token", report.first_token_s)
        self._took("reply", report.total_s)

    def happened(self, event: Event) -> None:
        """Something that an operator may want to look at."""
        name = event if event in EVENTS else OTHER
        self._events.labels(name).inc()
        self._count(f"event {name}")

    def decided(self, level: int) -> None:
        """The safety gate gave a message this level, 0 to 3."""
        shown = str(min(max(level, 0), 3))
        self._decisions.labels(shown).inc()
        self._count(f"level {shown}")

    def received(self) -> None:
        """An update was put on disk."""
        self._updates.inc()
        self._count("updates")

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)

    def _took(self, name: str, seconds: float) -> None:
        if seconds >= 0:
            self._times[name].observe(seconds)
            self.latencies.add(name, seconds)

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
