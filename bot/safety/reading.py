"""Turns a message, and what the person wrote before it, into tokens for the encoder.

Training and serving read with the same eyes: disguises, slang and typing
errors are undone first, as for the rules, and what is foreign is put into English word by word.
Knows nothing of risk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.safety.encoder import Tokens
from bot.safety.gloss import Gloss
from bot.safety.normalise import fold, unspaced
from bot.safety.policy import NEAREST
from bot.safety.words import Words

# Of all that was said before, the nearest first: 32 of each of three cost nearly twice the time and
# told danger from ordinary development turns no better.
_CONTEXT_TOKENS = 32
_OWN_TOKENS = 96  # of the newest in one window
_STEP = 72
_MOST_WINDOWS = 6  # a longer text is read at its beginning and at its end; rules read it all
_MOST_CHARACTERS = 20_000
# Fewer of the words than this are everyday English ones: in one of 28 English development
# messages, and in all but one of 56 in other languages.
_ENGLISH = 0.12
_WORD = re.compile(r"[^\W\d_]+")
_CLS, _SEP = 101, 102


class Reader:
    """Needs the encoder's `tokenizer.json`."""

    def __init__(self, tokenizer: Path, words: Words) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._words, self._gloss = words, Gloss.load(lambda word: fold(word, words))

    def windows(self, text: str, earlier: Sequence[str] = ()) -> list[Tokens]:
        """At least one; `earlier` is oldest first."""
        context = self._context(earlier[-NEAREST:])
        start = len(context) if len(context) > 1 else 0
        own = self._ids(text)
        pieces = [own[i : i + _OWN_TOKENS] for i in range(0, max(1, len(own) - _STEP // 3), _STEP)]
        if len(pieces) > _MOST_WINDOWS:
            pieces = pieces[: _MOST_WINDOWS // 2] + pieces[-_MOST_WINDOWS // 2 :]
        return [Tokens((*context, *piece, _SEP), start) for piece in pieces]

    def _context(self, earlier: Sequence[str]) -> list[int]:
        context: list[int] = []
        left = _CONTEXT_TOKENS
        for said in reversed(earlier):
            if not left:
                break
            ids = self._ids(said)[:left]
            left -= len(ids)
            context = [*ids, _SEP, *context] if ids else context
        return [_CLS, *context]

    def is_foreign(self, text: str) -> bool:
        """Whether the encoder, which knows English, understands few of these words."""
        found = _WORD.findall(readable(text[:_MOST_CHARACTERS], self._words).lower())
        return sum(word in self._words.english for word in found) < _ENGLISH * len(found)

    def _ids(self, text: str) -> list[int]:
        text = text[:_MOST_CHARACTERS]
        folded, joined = unspaced(text, self._words)
        english = self._gloss.english(text if joined == folded else joined)
        plain = readable(english, self._words)
        found: list[int] = self._tokenizer.encode(plain, add_special_tokens=False).ids
        return found


def readable(text: str, words: Words) -> str:
    """`text` without its disguise; punctuation stays."""
    _, joined = unspaced(text, words)
    return " ".join(words.readable(raw) for raw in joined.split())
