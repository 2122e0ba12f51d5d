"""The one template that turns a conversation into token ids, for serving and for training.

Instruct models use their own chat template; others (Falcon) the seed's
`<HUMAN>: … <ASSISTANT>:`. Knows tokenizers and turns; knows nothing of
people, adapters or the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from model.types import Turn

HUMAN, ASSISTANT = "<HUMAN>:", "<ASSISTANT>:"
# A model that goes on to play the person is stopped where it begins to.
STOPS = ("\n<HUMAN>:", "<HUMAN>:", "\n<ASSISTANT>:")
# What a template writes around a turn, roughly; the exact count is checked after.
AROUND = 4


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
        self._marks = (*_control_tokens(tokenizer), HUMAN, ASSISTANT)

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end a reply."""
        return () if self._chat else STOPS

    def render(self, turns: Sequence[Turn]) -> str:
        """The prompt's text, up to where the reply begins."""
        safe = _joined([Turn(t.role, self._disarm(t.text)) for t in turns])
        if not self._chat:
            return "\n".join([*(_line(t) for t in safe), ASSISTANT])
        try:
            return self._template(safe)
        except TemplateError:
            # Some instruct models know no system role: its words open the person's turn.
            return self._template(_joined([Turn(_no_system(t), t.text) for t in safe]))

    def completion(self, reply: str) -> str:
        """What the model is taught to write after `render`; ends with EOS."""
        lead = "" if self._chat else " "
        return f"{lead}{self._disarm(reply)}{self._tokenizer.eos_token}"

    def pair(self, turns: Sequence[Turn], reply: str) -> tuple[str, str]:
        """A training example: the prompt exactly as served, and the completion."""
        return self.render(turns), self.completion(reply)

    def ids(self, turns: Sequence[Turn]) -> list[int]:
        """`render`, tokenised; the template's own control tokens count as such."""
        return self._tokens(self.render(turns))

    def fit(self, turns: Sequence[Turn], budget: int) -> Fitted:
        """The newest turns that fit `budget` tokens; system and last turn always stay."""
        system = [t for t in turns if t.role == "system"]
        talk = [t for t in turns if t.role != "system"] or [Turn("user", "")]
        first = self._first_to_keep(system, talk, budget)
        ids = self.ids([*system, *talk[first:]])
        while first < len(talk) - 1 and (len(ids) > budget or talk[first].role == "assistant"):
            # A prompt that opens with the model's own words confuses it.
            first += 1
            ids = self.ids([*system, *talk[first:]])
        if len(ids) > budget:
            ids = self._shorten(system, talk[-1], budget)
        return Fitted(ids, first)

    def _first_to_keep(self, system: list[Turn], talk: list[Turn], budget: int) -> int:
        """A first guess, newest first, so that a long history is never tokenised whole."""
        left = budget - len(self.ids([*system, Turn("user", "")]))
        first = len(talk)
        while first > 0 and (left >= 0 or first == len(talk)):
            left -= len(self._tokens(self._disarm(talk[first - 1].text))) + AROUND
            first -= 1
        return first

    def _shorten(self, system: list[Turn], last: Turn, budget: int) -> list[int]:
        """Keep the end of a message that alone is longer than the budget."""
        words = self._tokens(self._disarm(last.text))
        room = budget - len(self.ids([*system, Turn(last.role, "")]))
        while room > 0:
            # The cut may fall inside a character, and the words before it may merge anew.
            tail = self._tokenizer.decode(words[-room:]).lstrip("\ufffd")
            ids = self.ids([*system, Turn(last.role, tail)])
            if len(ids) <= budget:
                return ids
            room -= len(ids) - budget
        return self.ids([*system, last])[-budget:]

    def _template(self, turns: Sequence[Turn]) -> str:
        messages = [{"role": t.role, "content": t.text} for t in turns]
        text: str = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return text

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _disarm(self, text: str) -> str:
        """Words of a person must not become control tokens or speaker marks."""
        text = clean(text).strip()
        for mark in self._marks:
            # A word joiner breaks the mark and cannot be seen.
            text = text.replace(mark, mark[0] + "\u2060" + mark[1:])
        return text


def _control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Every string that the tokenizer turns into one control token, longest first."""
    found = set(getattr(tokenizer, "all_special_tokens", []))
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    found |= {token.content for token in added if token.special}
    return tuple(sorted((token for token in found if len(token) > 1), key=len, reverse=True))


def _joined(turns: Sequence[Turn]) -> list[Turn]:
    """Turns of one speaker in a row become one: many templates demand taking turns."""
    found: list[Turn] = []
    for turn in turns:
        if found and found[-1].role == turn.role:
            found[-1] = Turn(turn.role, f"{found[-1].text}\n{turn.text}")
        else:
            found.append(turn)
    return found


def _no_system(turn: Turn) -> Any:
    return "user" if turn.role == "system" else turn.role


def _line(turn: Turn) -> str:
    if turn.role == "system":
        return turn.text
    return f"{HUMAN if turn.role == 'user' else ASSISTANT} {turn.text}"
