"""How tests start Chromium, and the dashboard's picture for the documentation.

`python -m tests.observe.pictures FILE` draws the dashboard with made-up readings.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import sys
from dataclasses import replace

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


async def main(file: str, scheme: str) -> None:
    """Serve made-up readings for a while and take the picture."""
    from playwright.async_api import async_playwright

    from bot.observing import TurnReport
    from tests.observe.test_server import STATUS, Here

    here = Here()
    await here.server.start()
    for step in range(300):
        waves = 1 + 0.5 * math.sin(step)
        here.metrics.turn_ended(TurnReport("model", 0.02 * waves, 0.1 * waves, 2 * waves, 40))
        if step % 5 == 0:
            here.metrics.turn_ended(TurnReport("fixed"))
        here.metrics.decided((0, 0, 0, 0, 1, 0, 2)[step % 7])
        here.metrics.received()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=FLAGS
        )
        page = await browser.new_page(
            viewport={"width": 1100, "height": 800}, color_scheme=scheme  # type: ignore[arg-type]
        )  # fmt: skip
        await page.clock.install()
        await page.goto(here.server.url)
        for step in range(60):
            here.status = replace(
                STATUS, model="made-up readings", running=2 + round(2 * math.sin(step / 5)),
                waiting=max(0, round(3 * math.sin(step / 9))), tokens_per_s=30 + 8 * math.sin(step),
            )  # fmt: skip
            await page.clock.run_for(2000)
            await asyncio.sleep(0.03)
        await page.screenshot(path=file, full_page=True)
        await browser.close()
    await here.server.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "light"))
