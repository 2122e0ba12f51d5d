"""What was found in earlier messages, so that no turn judges its whole conversation anew.

Keeps hashes and findings, never text. Knows nothing of how something is found.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

from bot.safety.rules import Finding

# Messages of a thousand people with all that still counts of what each said before. About half a
# kilobyte each.
_REMEMBERED = 10_000


class Seen:
    """Findings by the texts that they were found in."""

    def __init__(self) -> None:
        self._found: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()

    def of(self, *texts: str) -> tuple[Finding, ...] | None:
        """What was found; None where that is not remembered."""
        return self._found.get(_key(texts))

    def once(self, find: Callable[[], tuple[Finding, ...]], *texts: str) -> tuple[Finding, ...]:
        """What was found, or is found now."""
        key = _key(texts)
        known = self._found.get(key)
        if known is None:
            self._found[key] = known = find()
        while len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)
        return known


def _key(texts: Sequence[str]) -> bytes:
    key = hashlib.blake2b(digest_size=16)
    for text in texts:
        whole = text.encode("utf-8", "surrogatepass")
        key.update(len(whole).to_bytes(8, "big") + whole)
    return key.digest()
