"""Two readers of a message: a quick one for all, and a better one for what may be danger.

The better one knows far more English and takes ten times as long, so it is asked only where the
quick one sees any chance of danger: about one ordinary message in five. Without it the quick one
decides alone, by limits of its own. Knows nothing of rules, policy or people.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from bot.safety.classifier import Classifier
from bot.safety.scores import ClassifierMissing, Scores, place

ASK = "ask"  # the least chance of danger that the second is asked about
# Windows of a long text that the second reads, those that the first found gravest: two of them
# decide, and each takes a tenth of a second.
_MOST = 3
log = logging.getLogger(__name__)


class TwoReaders:
    """Implements meaning.Judge; `quick` is the first. `load` gives the second, or raises
    ClassifierMissing.

    `manifest` is that of who decides now: the second's limits are those of both together.
    `trouble` says why the first reads alone, for the operator; empty where both read.
    """

    def __init__(self, first: Classifier, load: Callable[[], Classifier]) -> None:
        self.quick, self._load = first, load
        self._second: Classifier | None = None
        self.manifest, self.trouble = first.manifest, ""

    def complete(self) -> None:
        """Load the second, which takes seconds; until it is there the first reads alone."""
        if self._second is not None:
            return
        try:
            second = self._load()
            both = f"{self.quick.manifest.version}+{second.manifest.version}"
            self._second, self.manifest = second, replace(second.manifest, version=both)
        except ClassifierMissing as missing:
            self.trouble = str(missing)
            log.warning("%s", missing)

    def judge(self, text: str, earlier: Sequence[str] = ()) -> Scores:
        """See Classifier.judge."""
        second, reader = self._second, self.quick.reader
        windows, foreign = reader.windows(text, earlier), reader.is_foreign(text)
        scores = self.quick.of(windows, foreign=foreign)
        asks = f"{place(foreign=foreign, in_context=bool(earlier))}.{ASK}"
        if second is None or scores.high < second.manifest.thresholds[asks]:
            return scores
        gravest = [windows[at] for at in scores.gravest[:_MOST]]
        better = second.of(gravest, foreign=foreign)
        return replace(better, partly=better.partly or scores.partly)
