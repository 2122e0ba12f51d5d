"""The one template that turns a conversation into token ids, for serving and for training.

Instruct models use their own chat template; others (Falcon) the seed's
`<HUMAN>: … <ASSISTANT>:`. Knows tokenizers and turns; knows nothing of
people, adapters or the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.types import Turn

HUMAN, ASSISTANT = "<HUMAN>:", "<ASSISTANT>:"
# A model that goes on to play the person is stopped where it begins to.
STOPS = ("\n<HUMAN>:", "<HUMAN>:", "\n<ASSISTANT>:")


@dataclass(frozen=True, slots=True)
class Fitted:
    """Token ids within the budget, and how many turns did not fit."""

    ids: list[int]
    turns_left_out: int


def clean(text: str) -> str:
    """Text that every tokenizer takes: no NUL, no lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


class PromptBuilder:
    """Renders turns for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._chat = bool(getattr(tokenizer, "chat_template", None))
        self._special = sorted(
            {t for t in getattr(tokenizer, "all_special_tokens", []) if t}, key=len, reverse=True
        )

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end a reply."""
        return () if self._chat else STOPS

    def render(self, turns: Sequence[Turn]) -> str:
        """The prompt's text, up to where the reply begins."""
        safe = [Turn(t.role, self._disarm(t.text)) for t in turns]
        if self._chat:
            messages = [{"role": t.role, "content": t.text} for t in safe]
            text: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            return text
        lines = [self._line(t) for t in safe]
        return "\n".join([*lines, ASSISTANT])

    def completion(self, reply: str) -> str:
        """What the model is taught to write after `render`; ends with EOS."""
        lead = "" if self._chat else " "
        return f"{lead}{clean(reply).strip()}{self._tokenizer.eos_token}"

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        """`render`, tokenised; the template's own control tokens count as such."""
        encoded = self._tokenizer(self.render(turns), add_special_tokens=False)
        return list(encoded["input_ids"])

    def fit(self, turns: Sequence[Turn], budget: int) -> Fitted:
        """The newest turns that fit `budget` tokens; system and last turn always stay."""
        system = [t for t in turns if t.role == "system"]
        talk = [t for t in turns if t.role != "system"]
        first = 0
        while len(ids := self.ids([*system, *talk[first:]])) > budget and first < len(talk) - 1:
            first += 1
        while first < len(talk) - 1 and talk[first].role == "assistant":
            # A prompt that opens with the model's own words confuses it.
            first += 1
            ids = self.ids([*system, *talk[first:]])
        if len(ids) > budget:
            ids = self._shorten(system, talk[-1], budget)
        return Fitted(ids, first)

    def _shorten(self, system: list[Turn], last: Turn, budget: int) -> list[int]:
        """Keep the end of a message that alone is longer than the budget."""
        words = self._tokenizer(self._disarm(last.text), add_special_tokens=False)["input_ids"]
        room = budget - len(self.ids([*system, Turn(last.role, "")])) - 8
        tail = self._tokenizer.decode(words[-max(room, 1) :])
        return self.ids([*system, Turn(last.role, tail)])

    def _line(self, turn: Turn) -> str:
        if turn.role == "system":
            return turn.text
        return f"{HUMAN if turn.role == 'user' else ASSISTANT} {turn.text}"

    def _disarm(self, text: str) -> str:
        """Words of a person must not become control tokens or speaker marks."""
        text = clean(text).strip()
        for mark in (*self._special, HUMAN, ASSISTANT):
            # A zero-width joiner breaks the mark and cannot be seen.
            text = text.replace(mark, mark[0] + "\u2060" + mark[1:])
        return text
