"""Tokens to text, piece by piece: never half a character, stop strings held back.

Knows a tokenizer's `decode` and nothing else.
"""

from __future__ import annotations

from typing import Any

HALF = "�"


class TextStream:
    """The text of one reply while it grows."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(s for s in stop if s)
        self._ids: list[int] = []
        self._shown = 0
        self.text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Add a token; returns what may be shown now, perhaps nothing."""
        self._ids.append(token)
        whole = self._decode()
        # An unfinished character decodes to U+FFFD: wait for the rest of it.
        settled = whole.rstrip(HALF) if whole.endswith(HALF) else whole
        for stop in self._stop:
            at = settled.find(stop)
            if at >= 0:
                self.stopped = True
                settled = settled[:at]
        return self._release(settled, len(settled) if self.stopped else self._safe_end(settled))

    def finish(self) -> str:
        """The tail that was held back, at the end of the reply."""
        if self.stopped:
            return ""
        settled = self._decode()
        return self._release(settled, len(settled))

    def _decode(self) -> str:
        text: str = self._tokenizer.decode(
            self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.lstrip()

    def _safe_end(self, text: str) -> int:
        """Where a stop string may have begun at the end of `text`."""
        held = 0
        for stop in self._stop:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    held = max(held, size)
                    break
        return len(text) - held

    def _release(self, text: str, end: int) -> str:
        piece = text[self._shown : end]
        self._shown = max(self._shown, end)
        self.text = text[: self._shown]
        return piece
