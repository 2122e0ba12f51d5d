"""Lone messages after ordinary ones, as they come in a conversation.

What was said before must neither hide danger nor make any. For choosing limits and for measuring;
training draws its own. Knows nothing of tokens or networks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from training.safety.examples import Example

_SHORT = 160  # letters of an ordinary message that is put before another
_MOST = 3


def led_up_to(examples: Sequence[Example]) -> list[Example]:
    """Each lone message after one to three ordinary ones in its language; always the same."""
    dice = random.Random(0)  # noqa: S311 - for choosing
    found = []
    for language in sorted({e.language for e in examples}):
        lone = [e for e in examples if e.language == language and not e.earlier]
        quiet = [e for e in lone if e.level == 0 and len(e.text) < _SHORT]
        for example in lone:
            others = [e.text for e in quiet if e is not example]
            before = dice.sample(others, min(len(others), dice.randint(1, _MOST)))
            if before:
                found.append(replace(example, earlier=tuple(before), source="led"))
    return found
