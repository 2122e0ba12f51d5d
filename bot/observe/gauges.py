"""Gauges that are read when Prometheus asks, so that none of them can be stale."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.observe.snapshot import Sources


class _Gauges(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        """What holds now."""
        status = self._sources.model()
        since = self._sources.since_poll()
        ready = status.state in ("ready", "reloading")
        for name, text, value in (
            ("lanner_model_ready", "1 while replies can be written.", float(ready)),
            ("lanner_replies_running", "Replies being written.", status.running),
            ("lanner_replies_waiting", "Requests waiting for the model.", status.waiting),
            ("lanner_queue_capacity", "Requests that may wait.", status.capacity),
            ("lanner_slots", "Replies that can be written at once.", status.slots),
            ("lanner_tokens_per_second", "Tokens a second, in all.", status.tokens_per_s),
            ("lanner_model_memory_bytes", "Memory the model holds.", status.memory_bytes),
            ("lanner_seconds_since_poll", "Since Telegram was last reached; -1 is never.",
             -1.0 if since is None else since),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, text, value=float(value))


def watch(registry: CollectorRegistry, sources: Sources) -> None:
    """Let `registry` read the gauges from `sources`."""
    registry.register(_Gauges(sources))
