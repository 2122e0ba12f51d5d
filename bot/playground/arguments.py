"""The arguments of one method call, read with Telegram's strictness.

Whatever way they came (address, form, JSON, multipart), a method asks by name and
type. Knows nothing of what methods do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bot.playground.errors import bad


class Upload(NamedTuple):
    """A file that came with the call."""

    name: str
    data: bytes


def file_name(given: str | None) -> str:
    """A part's file name as the person sees it: browsers send quotes and line ends escaped."""
    name = (given or "").replace("%22", '"').replace("%0D", "").replace("%0A", "")
    return "".join(letter for letter in name if letter.isprintable())[:200] or "file"


@dataclass
class Arguments:
    """`values` as they came, `uploads` by the name of their part."""

    values: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether the call names it at all."""
        return self.values.get(name) not in (None, "")

    def text(self, name: str) -> str:
        """A string, empty when it is missing; lone surrogates are refused."""
        value = self.values.get(name)
        found = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        try:
            found.encode()
        except UnicodeEncodeError:
            raise bad("strings must be encoded in UTF-8") from None
        return found

    def number(self, name: str, default: int = 0) -> int:
        """A whole number, `default` when it is missing or none, as Telegram reads it."""
        try:
            return int(self.values.get(name, default))
        except (TypeError, ValueError):
            return default

    def flag(self, name: str) -> bool:
        """True for true, yes and 1."""
        return str(self.values.get(name, "")).lower() in ("true", "yes", "1")

    def objects(self, name: str) -> list[Any]:
        """A JSON array, empty when it is missing."""
        value = self._json(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise bad(f"can't parse {name}: Expected an Array")
        return value

    def object(self, name: str) -> dict[str, Any] | None:
        """A JSON object, None when it is missing."""
        value = self._json(name)
        if value is not None and not isinstance(value, dict):
            raise bad(f"can't parse {name}: Expected an Object")
        return value

    def upload(self, name: str) -> Upload | str | None:
        """The file of `name`: the bytes that came along, or what else names it."""
        value = self.text(name) if name in self.values else ""
        if value.startswith("attach://"):
            return self.uploads.get(value.removeprefix("attach://"))
        return self.uploads.get(name) or value or None

    def _json(self, name: str) -> Any:
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise bad(f"can't parse {name} JSON object") from None
