"""Sends waiting updates to the bot's webhook, one by one, until it answers with 2xx.

Knows HTTP as a client only; what an update says is not looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from bot.playground.ground import Ground
from bot.playground.updates import Webhook

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
LONGEST_WAIT_S = 60.0
Answered = Callable[[dict[str, Any]], Awaitable[None]]


class Hooks:
    """`answered` takes a method that the bot put into its answer, as Telegram allows."""

    def __init__(self, world: Ground, answered: Answered, retry_s: float) -> None:
        self._world, self._answered, self._retry_s = world, answered, retry_s

    async def run(self) -> None:
        """Until cancelled."""
        # The receiver is on this machine: its certificate, if any, is its own.
        async with httpx.AsyncClient(timeout=30, trust_env=False, verify=False) as client:  # noqa: S501
            while True:
                hook, waiting = self._world.updates.webhook, self._world.updates.waiting
                if hook is None or not waiting:
                    await self._world.updates.arrived(3600)
                    continue
                number = min(waiting)
                await self._deliver(client, hook, number, waiting[number])

    async def _deliver(
        self, client: httpx.AsyncClient, hook: Webhook, number: int, update: dict[str, Any]
    ) -> None:
        wait = self._retry_s
        # Another webhook, or none, ends the tries; the update then waits for whoever comes.
        while self._world.updates.webhook is hook:
            problem = await self._post(client, hook, update)
            if not problem:
                self._world.updates.waiting.pop(number, None)
                return
            hook.last_error, hook.last_error_at = problem, int(self._world.clock())
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _post(self, client: httpx.AsyncClient, hook: Webhook, update: dict[str, Any]) -> str:
        """Empty when the bot took it, else what went wrong, in Telegram's words."""
        headers = {SECRET_HEADER: hook.secret} if hook.secret else {}
        try:
            answer = await client.post(hook.url, json=update, headers=headers)
        except httpx.TimeoutException:
            return "Read timeout expired"
        except httpx.HTTPError:
            return "Connection refused"
        if not answer.is_success:
            return f"Wrong response from the webhook: {answer.status_code} {answer.reason_phrase}"
        try:
            body = answer.json()
        except ValueError:
            return ""
        if isinstance(body, dict) and body.get("method"):
            await self._answered(body)
        return ""
