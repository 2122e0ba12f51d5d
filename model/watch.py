"""The watch over a device that may hang: deadlines hold although the worker's thread cannot move.

Knows how long a round has taken and who is late; knows nothing of the engine.
"""

from __future__ import annotations

import threading
import time

from model.worker import Worker

# How often it looks, seconds.
EVERY_S = 0.2
HUNG = "The model's device has not answered for {limit:g} seconds: the service must start again."


class Watch(threading.Thread):
    """Looks after one worker until it ends; `limit_s` is the longest that one round may take."""

    def __init__(self, worker: Worker, wake: threading.Condition, limit_s: float) -> None:
        super().__init__(name="model-watch", daemon=True)
        self._worker, self._wake, self._limit_s = worker, wake, limit_s

    def run(self) -> None:
        """Until the worker has ended or its device is dead."""
        worker = self._worker
        while worker.is_alive() and not worker.dead.done():
            with self._wake:
                if worker.stopping:
                    return
            since = worker.since
            if since is not None and time.monotonic() - since > self._limit_s:
                worker.die("hung", HUNG.format(limit=self._limit_s))
            # Between rounds the worker does this itself; in a hung one only we can.
            worker.drop_ended()
            time.sleep(EVERY_S)
