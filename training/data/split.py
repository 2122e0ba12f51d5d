"""Holds out whole questions, so that nothing that is taught is also tested.

All answers to one question, and to questions near to it, stay on one side.
Knows dialogues; knows nothing of tokens or models.
"""

from __future__ import annotations

from collections.abc import Sequence

from training.data.dialogue import Dialogue, digest, same
from training.data.near import groups

# Two questions this alike are one: a held-out twin would test memory.
ONE_QUESTION = 0.5


def split(
    dialogues: Sequence[Dialogue], share: float, seed: int
) -> tuple[list[Dialogue], list[Dialogue]]:
    """(taught, held out): about `share` of the questions of each source are held out."""
    leaders = groups([same(d.question) for d in dialogues], ONE_QUESTION)
    by_name: dict[str, int] = {}
    joined = [
        by_name.setdefault(d.group, leader) for d, leader in zip(dialogues, leaders, strict=True)
    ]
    root = _roots(leaders, joined)
    held = _chosen(dialogues, root, share, seed)
    taught = [d for d, r in zip(dialogues, root, strict=True) if r not in held]
    return taught, [d for d, r in zip(dialogues, root, strict=True) if r in held]


def _roots(leaders: Sequence[int], joined: Sequence[int]) -> list[int]:
    """One root for everything connected by nearness or by name (union-find)."""
    parent = list(range(len(leaders)))

    def find(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for number, (near, named) in enumerate(zip(leaders, joined, strict=True)):
        for other in (near, named):
            parent[max(find(number), find(other))] = min(find(number), find(other))
    return [find(at) for at in range(len(leaders))]


def _chosen(
    dialogues: Sequence[Dialogue], root: Sequence[int], share: float, seed: int
) -> set[int]:
    if share <= 0:
        return set()
    questions: dict[str, list[int]] = {}
    for at in sorted(set(root)):
        questions.setdefault(dialogues[at].source, []).append(at)
    held: set[int] = set()
    for source, found in questions.items():
        # By hash, so that a row that is added moves no other to the other side.
        found.sort(key=lambda at: digest(str(seed), source, same(dialogues[at].question)))
        held.update(found[: max(1, round(share * len(found)))] if len(found) > 1 else ())
    return held
