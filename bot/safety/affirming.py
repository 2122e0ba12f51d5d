"""Whether words do no more than say yes, so that what they mean stands in what was said before.

Knows the word in seven languages; knows nothing of what was asked.
"""

from __future__ import annotations

import re

from bot.safety.files import data_page

_WORD = re.compile(r"[^\W_]+(?:[\u0900-\u0963]+[^\W_]*)*")
_YES = frozenset(str(word) for word in data_page("words.yaml")["affirming"])
_MOST = 4  # "yes I think so"


def affirms(text: str) -> bool:
    """`text` is a bare yes, in some wording."""
    words = _WORD.findall(text.casefold()[:100])
    return 0 < len(words) <= _MOST and set(words) <= _YES and words != ["i"]
