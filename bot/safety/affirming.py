"""Whether words do no more than say yes, so that what they mean stands in what was said before.

Knows the word in seven languages; knows nothing of what was asked.
"""

from __future__ import annotations

from bot.safety.files import data_page
from bot.safety.normalise import WORD

_YES = frozenset(str(word) for word in data_page("affirming.yaml"))
_MOST = 4  # "yes I think so"


def affirms(text: str) -> bool:
    """`text` is a bare yes, in some wording."""
    words = WORD.findall(text.casefold()[:100])
    return 0 < len(words) <= _MOST and set(words) <= _YES and words != ["i"]
