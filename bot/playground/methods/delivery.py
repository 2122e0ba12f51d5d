"""Methods about how updates reach the bot, and how it reaches files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from bot.playground.arguments import Arguments
from bot.playground.errors import bad
from bot.playground.ground import Ground
from bot.playground.updates import Webhook

SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
MOST_DOWNLOAD = 20 << 20


def _set_webhook(world: Ground, arguments: Arguments) -> bool:
    url, secret = arguments.text("url"), arguments.text("secret_token")
    if not url:
        return _delete_webhook(world, arguments)
    parts = urlsplit(url)
    # Telegram asks for https; this server talks to this machine alone, so http will do.
    if parts.scheme not in ("http", "https"):
        raise bad("bad webhook: An HTTPS URL must be provided for webhook")
    if parts.hostname not in ("127.0.0.1", "localhost"):
        raise bad("bad webhook: this local server sends updates to this machine only")
    if secret and not SECRET.fullmatch(secret):
        raise bad("secret token contains unallowed characters")
    connections = arguments.number("max_connections", 40)
    if not 1 <= connections <= 100:
        raise bad("max_connections must be from 1 to 100")
    if "allowed_updates" in arguments.values:
        world.updates.allow(arguments.objects("allowed_updates"))
    if arguments.flag("drop_pending_updates"):
        world.updates.waiting.clear()
    world.updates.webhook = Webhook(url, secret, connections)
    world.updates.wake()
    return True


def _delete_webhook(world: Ground, arguments: Arguments) -> bool:
    world.updates.webhook = None
    if arguments.flag("drop_pending_updates"):
        world.updates.waiting.clear()
    world.updates.wake()
    return True


def _webhook_info(world: Ground, _arguments: Arguments) -> dict[str, Any]:
    hook = world.updates.webhook
    info: dict[str, Any] = {
        "url": hook.url if hook else "",
        "has_custom_certificate": False,
        "pending_update_count": len(world.updates.waiting),
    }
    if hook:
        info["max_connections"] = hook.connections
        if hook.last_error:
            info |= {"last_error_date": hook.last_error_at, "last_error_message": hook.last_error}
    if world.updates.allowed:
        info["allowed_updates"] = sorted(world.updates.allowed)
    return info


def _get_file(world: Ground, arguments: Arguments) -> dict[str, Any]:
    number = arguments.text("file_id")
    found = world.files.get(number)
    if found is None:
        raise bad("invalid file_id")
    if len(found.data) > MOST_DOWNLOAD:
        raise bad("file is too big")
    return {"file_id": number, "file_unique_id": number, "file_size": len(found.data),
            "file_path": number}  # fmt: skip


METHODS: dict[str, Callable[[Ground, Arguments], Any]] = {
    "setWebhook": _set_webhook,
    "deleteWebhook": _delete_webhook,
    "getWebhookInfo": _webhook_info,
    "getFile": _get_file,
}
