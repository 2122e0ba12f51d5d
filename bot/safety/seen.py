"""What was found in earlier messages, so that no turn judges its whole conversation anew.

Keeps hashes and findings, never text. Knows nothing of how something is found.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from bot.safety.rules import Finding

# Messages of a thousand people with all that still counts of what each said before. About half a
# kilobyte each.
_REMEMBERED = 10_000


class Seen:
    """Asks `find` once about each text, as long as it is remembered."""

    def __init__(self, find: Callable[[str], tuple[Finding, ...]]) -> None:
        self._find = find
        self._found: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()

    def __call__(self, text: str) -> tuple[Finding, ...]:
        """The findings of `text`."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._found.get(key)
        if known is None:
            self._found[key] = known = self._find(text)
        while len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)
        return known
