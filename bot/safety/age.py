"""Whether a person says that they are under 18. In seven languages; knows nothing of replies."""

from __future__ import annotations

import re

_YOUNG = r"(?:[89]|1[0-7])"
_WORD = r"(?:eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen)"
# What may follow a number that is an age: nothing, "years old", or the next thought.
_END = (
    r"(?= ?(?:$|[,.!?;:)\n]|yo\b|y/o\b|y o\b|yrs?\b(?! of)|years? old|year[- ]old|and (?:i|my)\b|but\b|so\b"
    r"|female|male|girl|boy|f\b|m\b|btw|lol|turning|almost|not 18|in (?:high|middle|secondary) school))"
)
_SAYS = re.compile(
    "|".join(
        [
            rf"\b(?:i am|i'?m|im|iam) (?:only |just |still |a |like |actually |barely )*(?:{_YOUNG}|{_WORD}){_END}",
            rf"\b(?:i am|i'?m|im) (?:only |just |a |an )*(?:{_YOUNG}|{_WORD})[- ]years?[- ]old",
            r"\bi(?: am|'?m) (?:still |only |just )*(?:a minor|underage|under 18|not (?:yet )?18(?: yet)?|in (?:(?:5|6|7|8|9|10)th|(?:fifth|sixth|seventh|eighth|ninth|tenth)) grade|in middle school)\b",
            rf"\b(?:my age is|age:?) {_YOUNG}\b(?! (?:to|and up|-))",
            rf"\bich bin (?:erst |gerade )?{_YOUNG}(?= ?(?:$|[,.!?;\n]|jahre alt|und ich))",
            r"\bich bin (?:noch )?minderjährig\b",
            rf"\bj'?\s?ai (?:seulement |juste |que )?{_YOUNG} ans\b(?! de)",
            r"\bje suis mineure?\b",
            rf"\btengo (?:solo |apenas )?{_YOUNG} años\b(?! de)",
            r"\bsoy menor de edad\b",
            rf"\b(?:eu )?tenho (?:só |apenas )?{_YOUNG} anos\b(?! de)",
            r"\bsou (?:de )?menor(?: de idade)?\b",
            rf"\b(?:umur|usia)(?:ku| saya| aku|nya aku)? (?:baru |masih |)?{_YOUNG}\b",
            rf"\b(?:aku|saya) (?:baru |masih )?(?:umur |usia |berumur |berusia )?{_YOUNG} tahun\b(?! yang|\s*lalu)",
            rf"\b(?:meri|mera) (?:umar|umr|age) {_YOUNG}\b|\bmain (?:sirf )?{_YOUNG} saal k[aie]\b",
            rf"(?:मेरी (?:उम्र|आयु)|मैं)(?: सिर्फ| केवल)? {_YOUNG} (?:साल|वर्ष)",
        ]
    )
)
_NOT = re.compile(
    r"\b(?:when|back when|if|since|until|before|als|quand|lorsque|cuando|quando|waktu|saat|ketika) "
    r"(?:i|ich|j|je|yo|eu|aku|saya)\b[^.!?\n]{0,12}$"
)
_LONGEST = 4096


def says_minor(text: str) -> bool:
    """True for "I'm 15", not for "when I was 15" or "I'm 15 minutes late"."""
    plain = " ".join(text[:_LONGEST].casefold().replace("’", "'").split(" "))
    return any(not _NOT.search(plain[: m.start()] + _first(m[0])) for m in _SAYS.finditer(plain))


def _first(found: str) -> str:
    """The subject of what was found, for looking at what leads to it."""
    return found.split(" ")[0].replace("'m", "").replace("im", "i")
