"""The ways in: which token and server, polling or a webhook, and the operator's page.

Chosen from settings alone. Knows how each is opened; nothing of what comes in.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from bot import raw
from bot.inbox import Inbox
from bot.observe.metrics import Metrics
from bot.observe.server import DashboardServer
from bot.observe.snapshot import Sources
from bot.observing import TurnObserver
from bot.playground.server import Playground
from bot.polling import Polling
from bot.settings import Settings
from bot.webhook import Webhook

DEMO_TOKEN = "1:playground"  # noqa: S105 - opens nothing but the page on this machine
StoreFailed = Callable[[list[raw.Raw], Exception], Awaitable[None]]
log = logging.getLogger(__name__)


def telegram(settings: Settings) -> tuple[str, str | None] | None:
    """The token, and a Bot API server that is not Telegram's; None without a token."""
    token = settings.telegram_bot_token
    return (token.get_secret_value(), settings.lanner_api_url) if token else None


async def playground(settings: Settings, banner: Callable[[], dict[str, Any]]) -> Playground:
    """The demo's page and its Bot API server, started."""
    page = Playground(
        DEMO_TOKEN, settings.lanner_playground_port, banner, keep=settings.lanner_playground_dir
    )
    await page.start()
    return page


def intake(
    settings: Settings, inbox: Inbox, failed: StoreFailed, observer: TurnObserver
) -> Polling | Webhook:
    """What takes updates in."""
    secret = settings.lanner_webhook_secret
    if settings.lanner_webhook_url is None:
        return Polling(inbox, failed, observer)
    known = secret.get_secret_value() if secret else secrets.token_urlsafe(32)
    return Webhook(
        inbox, failed, settings.lanner_webhook_url, known, settings.lanner_webhook_host,
        settings.lanner_webhook_port,
    )  # fmt: skip


async def dashboard(settings: Settings, metrics: Metrics, sources: Sources) -> DashboardServer:
    """A taken port costs the operator a page, never anyone a reply."""
    server = DashboardServer(settings.lanner_dashboard_port, metrics, sources)
    try:
        await server.start()
    except OSError as error:
        log.warning(
            "The dashboard's port cannot be opened (%s): set LANNER_DASHBOARD_PORT.",
            error.strerror,
        )
    return server
