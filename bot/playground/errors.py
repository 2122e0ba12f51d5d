"""Telegram's error answers as exceptions. Knows no method and no HTTP."""

from __future__ import annotations


class ApiError(Exception):
    """An answer with `ok: false`: Telegram's code, words and, for 429, the seconds to wait."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code, self.description, self.retry_after = code, description, retry_after

    def answer(self) -> dict[str, object]:
        """The body that Telegram would send."""
        body: dict[str, object] = {
            "ok": False,
            "error_code": self.code,
            "description": self.description,
        }
        if self.retry_after is not None:
            body["parameters"] = {"retry_after": self.retry_after}
        return body


def bad(words: str) -> ApiError:
    """A 400 in Telegram's manner."""
    return ApiError(400, f"Bad Request: {words}")


def too_many(seconds: int) -> ApiError:
    """A 429 that names the seconds to wait."""
    return ApiError(429, f"Too Many Requests: retry after {seconds}", seconds)


class PersonError(Exception):
    """What a person in front of the page cannot do; the sentence is shown to them."""
