"""Turns examples into the windows of tokens of one epoch, each time in another dress.

A message is now and then put in the midst of ordinary talk, or after ordinary
earlier messages: neither takes danger away, nor makes any. What was easy in one
epoch is often left out of the next. Knows nothing of networks.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.safety.encoder import Tokens
from bot.safety.reading import Reader
from training.safety.augment import rough, varied
from training.safety.examples import Example

LONGEST = 72  # tokens of a message in one step of training
MINGLED = 0.2  # share of messages that are read together with an ordinary one
LED_UP_TO = 0.35  # share of lone messages that get ordinary earlier ones
EASY, AGAIN = 0.5, 0.4  # this share of an epoch is easy; so much of it is in the next one too
ROUGH = 0.45  # share of texts that are made rough, for a network that learns from another
_POOL = 16  # batches that are sorted by length together
_SHORT = 120  # letters of an ordinary message that is put beside another
_FORMS = ("{0} {1}", "{1} {0}", "{1}. {0}", "{0}\n{1}", "{1} {0} {2}")


@dataclass(frozen=True, slots=True)
class Row:
    """An example as the network sees it in one epoch; `at` is its place among all."""

    at: int
    example: Example
    tokens: Tokens


class Windows:
    """The examples of a run; `drawn` gives them anew for each epoch."""

    def __init__(
        self, examples: Sequence[Example], reader: Reader, *, roughly: bool = False
    ) -> None:
        self._examples, self._reader, self._roughly = examples, reader, roughly
        self._quiet = [e.text for e in examples if e.level == 0 and len(e.text) < _SHORT]
        self.wrong = [math.inf] * len(examples)  # by how much, when it was last seen

    def drawn(self, random_: random.Random, size: int) -> list[list[Row]]:
        """Examples in batches of at most `size`, of like length together."""
        easy = sorted(self.wrong)[int(len(self.wrong) * EASY)]
        rows = [
            Row(at, e, self._window(e, random_))
            for at, e in enumerate(self._examples)
            if self.wrong[at] >= easy or random_.random() < AGAIN
        ]
        if self._roughly:
            whole = [row.tokens for row in rows]
            rows = [
                replace(row, tokens=rough(row.tokens, random_.choice(whole), random_))
                if random_.random() < ROUGH
                else row
                for row in rows
            ]
        random_.shuffle(rows)
        pools = [rows[at : at + size * _POOL] for at in range(0, len(rows), size * _POOL)]
        found = []
        for pool in pools:
            pool.sort(key=lambda row: len(row.tokens.ids))
            found += [pool[i : i + size] for i in range(0, len(pool), size)]
        random_.shuffle(found)
        return found

    def _window(self, example: Example, random_: random.Random) -> Tokens:
        """One window of the message, cut to LONGEST."""
        text, earlier = varied(example.text, random_), example.earlier
        if not earlier and self._quiet and random_.random() < MINGLED:
            beside = (random_.choice(self._quiet), random_.choice(self._quiet))
            text = random_.choice(_FORMS).format(text, *beside)
        if not earlier and self._quiet and random_.random() < LED_UP_TO:
            earlier = tuple(random_.choices(self._quiet, k=random_.randint(1, 3)))
        window = random_.choice(self._reader.windows(text, earlier))
        if len(window.ids) - window.start <= LONGEST:
            return window
        return Tokens((*window.ids[: window.start + LONGEST - 1], window.ids[-1]), window.start)
