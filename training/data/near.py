"""Near-duplicates by MinHash: texts whose 5-word shingles overlap.

Candidates come from locality-sensitive hashing and are then compared exactly,
so nothing is called alike that is not; a pair just above the threshold may
rarely be missed. Knows texts; knows nothing of dialogues.

Broder, 1997; Leskovec et al., Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from training.data.dialogue import digest, same

SHINGLE = 5
ROWS, BANDS = 4, 24
_PRIME = np.uint64((1 << 61) - 1)


def shingles(text: str, size: int = SHINGLE) -> frozenset[int]:
    """Hashes of every run of `size` words; a shorter text is one shingle."""
    words = same(text).split()
    runs = range(max(1, len(words) - size + 1))
    # 32 bits: the products below must stay inside 64.
    return frozenset(digest(" ".join(words[at : at + size])) & 0x7FFFFFFF for at in runs)


def alike(a: frozenset[int], b: frozenset[int]) -> float:
    """Jaccard similarity."""
    return len(a & b) / len(a | b) if a or b else 1.0


class Near:
    """Texts seen so far, and whether a new one is near to one of them."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._seen: list[frozenset[int]] = []
        self._tables: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]
        rng = np.random.default_rng(0)
        self._a = rng.integers(1, 1 << 29, ROWS * BANDS, dtype=np.uint64)
        self._b = rng.integers(0, 1 << 29, ROWS * BANDS, dtype=np.uint64)

    def add(self, text: str) -> tuple[int, int | None]:
        """Remember a text: its number, and that of an earlier one it is near to."""
        found, bands = shingles(text), []
        near, number = None, len(self._seen)
        signature = self._signature(found)
        for band, table in enumerate(self._tables):
            key = signature[band * ROWS : (band + 1) * ROWS].tobytes()
            bands.append((table, key))
        for other in self._candidates(bands):
            if alike(found, self._seen[other]) >= self._threshold:
                near = other
                break
        for table, key in bands:
            table.setdefault(key, []).append(number)
        self._seen.append(found)
        return number, near

    def _candidates(self, bands: Sequence[tuple[dict[bytes, list[int]], bytes]]) -> Iterator[int]:
        seen: set[int] = set()
        for table, key in bands:
            for other in table.get(key, ()):
                if other not in seen:
                    seen.add(other)
                    yield other

    def _signature(self, found: frozenset[int]) -> np.ndarray:
        values = np.fromiter(found, dtype=np.uint64, count=len(found))[:, None]
        hashed: np.ndarray = ((values * self._a + self._b) % _PRIME).min(axis=0)
        return hashed


def groups(texts: Sequence[str], threshold: float) -> list[int]:
    """A group's number for each text: near texts, also over several steps, share one."""
    near, leader = Near(threshold), list(range(len(texts)))
    for text in texts:
        number, other = near.add(text)
        if other is not None:
            leader[number] = leader[other]
    return leader
