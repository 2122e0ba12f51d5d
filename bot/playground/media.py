"""Files as Telegram describes them: kinds, sizes, types, safe names.

Looks at the first bytes only; decodes nothing. Knows nothing of chats.
"""

from __future__ import annotations

import mimetypes
import struct
from typing import Any
from urllib.parse import quote

from bot.playground.errors import PersonError

KINDS = ("photo", "document", "voice", "sticker")
SHOWN = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def image_type(data: bytes) -> str | None:
    """The media type of an image that a page may show in place, judged by its bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in SHOWN.items() if data.startswith(magic)), None)


def size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of a PNG, JPEG or GIF; (0, 0) where that is not known."""
    if data.startswith(b"\x89PNG") and len(data) >= 24:
        wide, high = struct.unpack(">II", data[16:24])
        return int(wide), int(high)
    if data.startswith(b"GIF8") and len(data) >= 10:
        wide, high = struct.unpack("<HH", data[6:10])
        return int(wide), int(high)
    return _jpeg_size(data) if data.startswith(b"\xff\xd8") else (0, 0)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        kind, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            high, wide = struct.unpack(">HH", data[place + 5 : place + 9])
            return int(wide), int(high)
        place += 2 + length
    return 0, 0


def described(kind: str, number: str, name: str, data: bytes) -> dict[str, Any]:
    """The part of a Message that tells of a file."""
    found: dict[str, Any] = {"file_id": number, "file_unique_id": number, "file_size": len(data)}
    wide, high = size(data)
    if kind == "photo":
        if image_type(data) is None:
            raise PersonError("This is not a picture that can be shown: send it as a file.")
        return {"photo": [found | {"width": wide, "height": high}]}
    if kind == "voice":
        return {"voice": found | {"duration": 1, "mime_type": "audio/ogg"}}
    if kind == "sticker":
        shape = {"width": wide or 512, "height": high or 512, "type": "regular"}
        return {"sticker": found | shape | {"is_animated": False, "is_video": False, "emoji": "🙂"}}
    mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {"document": found | {"file_name": name, "mime_type": mime}}


def headers(name: str, data: bytes) -> tuple[dict[str, str], str]:
    """How a file is served: pictures in place, all else only ever as a download."""
    kind = image_type(data)
    way = "inline" if kind else "attachment"
    return {
        "Content-Disposition": f"{way}; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }, kind or "application/octet-stream"
