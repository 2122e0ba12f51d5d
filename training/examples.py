"""Dialogues become token ids with the tokens that are taught marked.

One example for each taught reply: the prompt is, byte for byte, what the model
will be given when it serves, and only the reply's tokens are learnt. `joined`
puts the replies of a dialogue into one row where that changes no token. Prompts
are cut from their old end; a reply always ends with EOS. Knows the template
and the tokenizer; knows nothing of batches or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from model.prompt import PromptBuilder
from model.types import Turn
from training.data.dialogue import Dialogue

# A prompt shorter than this no longer says what was asked.
SHORTEST_PROMPT = 24
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)|\n")


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of prompt and reply; `start` is where the reply begins.

    `earlier` are replies inside the prompt that are taught here as well: where each begins,
    and its tokens with their EOS, which the prompt itself need not hold.
    """

    ids: tuple[int, ...]
    start: int
    group: str
    prompt: tuple[Turn, ...]
    reply: str
    earlier: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def targets(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """What is taught: each reply's place and tokens."""
        return (*self.earlier, (self.start, self.ids[self.start :]))

    @property
    def taught(self) -> int:
        """Tokens that are learnt."""
        return sum(len(tokens) for _, tokens in self.targets)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples, and how many had to be cut to fit."""

    examples: list[Example]
    prompts_cut: int
    replies_cut: int


def encode(
    dialogues: Iterable[Dialogue],
    tokenizer: Any,
    max_length: int,
    replies: Literal["all", "last"] = "all",
) -> Encoded:
    """Every taught reply as an example of at most `max_length` tokens."""
    encoder = _Encoder(tokenizer, max_length)
    found = [
        encoder.example(dialogue, at)
        for dialogue in dialogues
        for at in _taught(dialogue.turns, replies)
    ]
    return Encoded(found, encoder.prompts_cut, encoder.replies_cut)


def joined(examples: Iterable[Example]) -> list[Example]:
    """Replies of a dialogue in one row wherever the next prompt begins with the row so far.

    Every reply keeps exactly the tokens before it, so its loss stays what it was, and the
    tokens that several prompts share are computed once.
    """
    found: list[Example] = []
    for one in examples:
        before = found[-1] if found else None
        # A reply's EOS is predicted and never read.
        if before and len(before) <= one.start and one.ids[: len(before) - 1] == before.ids[:-1]:
            one = replace(one, earlier=before.targets)
            found.pop()
        found.append(one)
    return found


def _taught(turns: Sequence[Turn], replies: Literal["all", "last"]) -> list[int]:
    found = [at for at, turn in enumerate(turns) if turn.role == "assistant"]
    return found if replies == "all" else found[-1:]


class _Encoder:
    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self._tokenizer, self._max_length = tokenizer, max_length
        self._builder = PromptBuilder(tokenizer)
        self.prompts_cut = self.replies_cut = 0

    def example(self, dialogue: Dialogue, at: int) -> Example:
        turns, reply = dialogue.turns[:at], dialogue.turns[at].text
        reply, completion = self._completion(reply)
        room = self._max_length - len(completion)
        prompt = self._builder.ids(turns)
        if len(prompt) > room:
            self.prompts_cut += 1
            prompt = self._builder.fit(turns, room).ids
        return Example((*prompt, *completion), len(prompt), dialogue.group, turns, reply)

    def _completion(self, reply: str) -> tuple[str, list[int]]:
        """A reply that is too long ends at the last sentence that fits, and still with EOS."""
        room = self._max_length - SHORTEST_PROMPT
        ids = self._ids(reply)
        if len(ids) <= room:
            return reply, ids
        self.replies_cut += 1
        for end in reversed([match.end() for match in _SENTENCE_END.finditer(reply)]):
            ids = self._ids(reply[:end])
            if len(ids) <= room:
                return reply[:end], ids
        # One endless sentence: cut inside it, keep the EOS.
        ids = self._ids(reply)
        return reply, [*ids[: room - 1], ids[-1]]

    def _ids(self, reply: str) -> list[int]:
        text = self._builder.completion(reply)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
