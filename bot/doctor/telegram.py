"""Does Telegram know the token, and do its clock and ours agree.

Never shows the token, nor an address that holds it. Knows the Bot API's getMe
and HTTP's Date header.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from bot.doctor.findings import Finding, ill, note, well

SERVER = "https://api.telegram.org"
# A webhook's certificate and a check-in's minute bear this much.
SKEW_S = 30
NETWORK = "Check the network, the firewall and the name server of this machine."


def telegram(
    token: str | None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    server: str = SERVER,
    timeout_s: float = 10,
) -> list[Finding]:
    """The token and the clock; without a token only that there is none."""
    if token is None:
        return [
            note(
                "token",
                "There is no TELEGRAM_BOT_TOKEN, so a demo page opens.",
                "For a real service, get a token from @BotFather and write it into .env.",
            )
        ]
    try:
        answer = httpx.get(f"{server}/bot{token}/getMe", timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return [ill("token", f"Telegram cannot be reached ({type(error).__name__}).", NETWORK)]
    return [_token(answer), _clock(answer, now())]


def _token(answer: httpx.Response) -> Finding:
    if answer.status_code in (401, 404):
        return ill(
            "token",
            "Telegram does not know TELEGRAM_BOT_TOKEN.",
            "Copy it again from @BotFather into .env, in one line.",
        )
    try:
        name = answer.json()["result"]["username"]
    except (ValueError, KeyError, TypeError):
        return ill("token", f"Telegram answered with {answer.status_code}.", "Try again later.")
    return well("token", f"Telegram knows the token: the bot is @{name}.")


def _clock(answer: httpx.Response, now: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return note("clock", "Telegram's answer had no time in it.", "Check the clock by hand.")
    skew = abs((now - theirs).total_seconds())
    if skew > SKEW_S:
        return ill(
            "clock",
            f"This machine's clock is {skew:.0f} s off.",
            "Let it be set by the network: timedatectl set-ntp true.",
        )
    return well("clock", f"The clock is right within {max(skew, 1):.0f} s.")
