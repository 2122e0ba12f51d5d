"""Whether a person says plainly that they are safe. Knows nothing of levels."""

from __future__ import annotations


def says_safe(text: str) -> bool:
    """Whether a person at level 3 says plainly, and only, that they are safe now."""
    plain = " ".join(text.casefold().replace("’", "'").split()).strip(" .!।")
    return plain in _SAFE


_SAFE = frozenset(
    {
        "i am safe", "i'm safe", "im safe", "i am safe now", "i'm safe now", "im safe now",
        "ich bin in sicherheit", "je suis en sécurité", "estoy a salvo", "estou em segurança",
        "मैं सुरक्षित हूँ", "मैं सुरक्षित हूं", "aku aman sekarang", "saya aman sekarang",
    }
)  # fmt: skip
