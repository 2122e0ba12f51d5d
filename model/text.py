"""Tokens to text, piece by piece: never half a character, stop strings held back.

Only the newest tokens are decoded again at each step, so a long reply costs no
more a token than a short one. Knows a tokenizer's `decode` and nothing else.
"""

from __future__ import annotations

from typing import Any

HALF = "\ufffd"


class TextStream:
    """The text of one reply while it grows; `text` is what may be shown so far."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(s for s in stop if s)
        self._ids: list[int] = []
        # Tokens before `_read` are in `_whole`; those from `_window` on are decoded
        # with each new one, since some tokenizers join a token to the one before.
        self._window, self._read = 0, 0
        self._whole = ""
        self.text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Add a token; returns what may be shown now, perhaps nothing."""
        self._ids.append(token)
        new = self._new()
        # An unfinished character decodes to U+FFFD: wait for the rest of it.
        if new and not new.endswith(HALF):
            self._settle(new)
        return self._release(len(self._whole) if self.stopped else self._safe_end())

    def finish(self) -> str:
        """The tail that was held back, at the end of the reply."""
        if not self.stopped:
            self._settle(self._new().rstrip(HALF))
        return self._release(len(self._whole))

    def _new(self) -> str:
        before = self._decode(self._ids[self._window : self._read])
        return self._decode(self._ids[self._window :])[len(before) :]

    def _settle(self, new: str) -> None:
        self._window, self._read = self._read, len(self._ids)
        self._whole = self._whole + new if self._whole else new.lstrip()
        found = [at for stop in self._stop if (at := self._whole.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._whole = self._whole[: min(found)]

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _safe_end(self) -> int:
        """Where a stop string may have begun at the end of the text."""
        held = 0
        for stop in self._stop:
            for size in range(min(len(stop) - 1, len(self._whole)), held, -1):
                if self._whole.endswith(stop[:size]):
                    held = size
                    break
        return len(self._whole) - held

    def _release(self, end: int) -> str:
        piece = self._whole[len(self.text) : end]
        self.text += piece
        return piece
