"""Turns a message in any dress into plain lower-case sentences that rules can read.

Undoes look-alike letters, styled alphabets, invisible characters, accents,
number-for-letter spelling, starred letters, spaced-out and stretched words,
common typing errors and slang. Knows nothing of risk: it only reads.
"""

from __future__ import annotations

import html
import re
import statistics
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from bot.safety.words import Words

# Signs that people leave out or write in two ways: हूँ, हूं, क़.
UNWRITTEN = dict.fromkeys((0x0901, 0x0902, 0x093C))
_BLANKS = "\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5"
_SENTENCE = re.compile(r"[.!?;:\n\r…।。？！|]+(?=\s|$)|[\n\r…।。？！]+")
_LETTER = "[a-z\u0904-\u0939\u0958-\u0961]"
_EITHER, _NEITHER = "[a-z0-9\u0900-\u0963]", "[^a-z0-9\u0900-\u0963]"
# Of Hindi a letter may carry signs.
_ONE = f"{_LETTER}[\u0900-\u0903\u093a-\u094f]*"
_SPACED = re.compile(f"(?<!{_EITHER})(?:{_ONE}{_NEITHER}{{1,3}}){{3,}}{_ONE}(?!{_EITHER})")
_BETWEEN = re.compile(f"{_NEITHER}+")
_SHORT, _LONG = 2.5, 12  # letters: fewer in the middle are no words; more may be several
_WORD = re.compile(r"[^\W_]+(?:[\u0900-\u0dff]+[^\W_]*)*|,")
_ILL = re.compile(r"\b(i|you|he|she|they|we|it)['’`´]ll\b")
_APOSTROPHE = re.compile(r"(?<=[a-z])['’`´ʼ＇](?=[a-z])")
# Hindi's vowel signs are no letters to `\w`.
WORD = re.compile(r"[^\W_]+(?:[\u0900-\u0963]+[^\W_]*)*")
_LONGEST = 20_000
_WINDOW, _OVERLAP = 60, 15


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words joined by single spaces, with one space at each end.

    `breaks` holds the offsets in `text` at which a comma stood.
    """

    text: str
    words: frozenset[str]
    breaks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plain:
    """A message as the rules see it. `folded` keeps its own punctuation."""

    folded: str
    sentences: tuple[Sentence, ...]


def normalise(text: str, words: Words) -> Plain:
    """Read `text`; never raises, whatever it holds."""
    folded, joined = unspaced(text, words)
    joined = _ILL.sub(r"\1 will", joined)
    joined = _APOSTROPHE.sub("", joined)
    seen: dict[str, Sentence] = {}
    read: dict[str, list[str]] = {}
    for part in _SENTENCE.split(joined):
        for sentence in _sentences(part, words, read):
            seen.setdefault(sentence.text, sentence)
    return Plain(folded, tuple(seen.values()))


def unspaced(text: str, words: Words) -> tuple[str, str]:
    """`text` folded, and the same with words put together that stood letter by letter."""
    folded = fold(_unescape(text[:_LONGEST]), words)
    if folded.count(" ") * 3 > len(folded) or _SPACED.search(folded):
        return folded, _SPACED.sub(lambda found: _put_together(found[0], words), folded)
    return folded, folded


def _put_together(spaced: str, words: Words) -> str:
    """Words end where more space stands than between most letters; known words tell the rest."""
    between = _BETWEEN.findall(spaced)
    usual = statistics.median_low(map(_width, between))
    glued = _BETWEEN.sub(lambda found: " " * (_width(found[0]) > usual), spaced).split()
    if len(glued) * _SHORT > sum(map(len, glued)):  # space stands anywhere
        glued = ["".join(glued)]
    return " ".join(words.glued.split(word) if len(word) > _LONG else word for word in glued)


def _width(between: str) -> int:
    return sum(char.isspace() for char in between)


def fold(text: str, words: Words) -> str:
    """Lower case, Latin look-alikes to Latin, accents and invisible signs gone."""
    if text.isascii():
        return text.lower() if text.isprintable() else _no_controls(text).lower()
    text = words.emoji_run.sub(r"\1", text)
    out: list[str] = []
    latin = False
    for char in unicodedata.normalize("NFKD", text.translate(words.dress)).casefold():
        if " " <= char <= "~":
            out.append(char)
            latin = True
            continue
        kind = unicodedata.category(char)
        if kind in ("Cf", "Cs", "Cn") or ord(char) in UNWRITTEN:
            continue
        if kind in ("Mn", "Me", "Mc") and (latin or char < "\u0900" or char >= "\u1ab0"):
            continue
        char = words.dress.get(ord(char), char)
        if char in _BLANKS or kind == "Cc":
            char = "\n" if char in "\r\n" else " "
        latin = char.isascii()
        out.append(char)
    return "".join(out)


def _no_controls(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def _unescape(text: str) -> str:
    if "&#" in text or "&amp" in text:
        text = html.unescape(text)
    return unquote(text, errors="replace") if re.search(r"%[0-9A-Fa-f]{2}", text) else text


def _sentences(part: str, words: Words, read: dict[str, list[str]]) -> list[Sentence]:
    """`read` remembers, for this message only, what each word turned out to be."""
    tokens: list[str] = []
    for raw in part.split():
        if raw not in read:
            read[raw] = _WORD.findall(raw) if raw.isalpha() else _repaired(raw, words)
        tokens.extend(read[raw])
    plain = words.canonical(tokens)
    if not plain:
        return []
    starts = range(0, max(1, len(plain) - _OVERLAP), _WINDOW - _OVERLAP)
    return [_sentence(plain[i : i + _WINDOW]) for i in starts]


def _repaired(raw: str, words: Words) -> list[str]:
    """One word between spaces; puts letters back where signs stand for them."""
    body = raw.strip(".,!?;:\"'()[]{}“”‘’«»…")
    better = words.undisguise(body)
    if better is None:
        return _WORD.findall(raw)
    return [better, ","] if raw.endswith(",") else [better]


def _sentence(tokens: list[str]) -> Sentence:
    text, breaks = " ", []
    kept: list[str] = []
    for token in tokens:
        if token == ",":
            breaks.append(len(text))
        else:
            text += token + " "
            kept.append(token)
    return Sentence(text, frozenset(kept), tuple(breaks))
