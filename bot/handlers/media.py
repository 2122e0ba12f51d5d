"""What is not text, told honestly: a program that cannot see or hear says so kindly."""

from __future__ import annotations

from telegram import Message

from bot import texts


def what_it_is(said: Message, *, with_words: bool = False) -> str:
    """A sentence about what was sent; `with_words` when its caption is answered too."""
    if with_words:
        return texts.ONLY_THE_WORDS.format(kind=_kind(said))
    if said.sticker is not None:
        emoji = said.sticker.emoji
        return texts.STICKER_EMOJI.format(emoji=emoji) if emoji else texts.STICKER
    return texts.NOT_TEXT.format(kind=_kind(said))


def _kind(said: Message) -> str:
    for name, words in texts.KINDS.items():
        if getattr(said, name, None):
            return words
    return texts.KIND_UNKNOWN
