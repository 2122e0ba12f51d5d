"""A person's browser in front of the real program: what is typed, seen, pressed and sent."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bot.texts import LOADING
from tests.e2e.program import PATIENCE_S, Program, Someone, wait
from tests.e2e.test_process import HOSTILE
from tests.playground.telegram import png

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = PATIENCE_S * 1000
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
Open = Callable[..., "Page"]
TALK = (
    "It's two in the morning and I can't sleep. Work keeps going round in my head.",
    "I have to tell my team tomorrow that the project is cancelled.",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, program: Program) -> Iterator[Open]:
    """Opens the page as somebody; at the end no page may have had an error."""
    errors: list[str] = []
    contexts = []

    def open_as(name: str = "you", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": PHONE, "locale": "en-GB", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"a dialog: {dialog.message}"))
        page.goto(program.url if name == "you" else f"{program.url}?as={name}")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert errors == []


def send(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def incoming(page: Page) -> list[str]:
    """What the bot has said and is saying, as it is read."""
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('.row:not(.mine) .words')].map(w => w.textContent)"
    )
    return found


def until(page: Page, expression: str) -> None:
    """Asks again and again: the page's policy lets nothing evaluate text inside it."""

    def met() -> bool:
        page.wait_for_timeout(60)
        return bool(page.evaluate(expression))

    wait(met, expression)


def bubbles(page: Page, more_than: int = 0) -> None:
    """Wait for messages of the bot."""
    until(page, f"document.querySelectorAll('.row[data-id]:not(.mine)').length > {more_than}")


def answered(page: Page, before: int) -> str:
    """The newest message of the bot once there are more than `before` and none is growing."""

    def last() -> str:
        page.wait_for_timeout(100)
        words = incoming(page)
        busy = page.locator("#stop:not([hidden]), .draft, .dots").count()
        # Dots alone hold the place of what is to come.
        return words[-1].strip(" ….") if len(words) > before and not busy else ""

    return wait(last)


def test_a_newcomer_starts_agrees_and_gets_an_answer(opened: Open) -> None:
    page = opened("newcomer")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name=re.compile("agree")).click()
    bubbles(page, 1)
    before = len(incoming(page))
    send(page, "I had a long day.")
    assert answered(page, before)
    page.locator("#banner").get_by_text("Falcon-7B").wait_for()


def test_words_stream_in_and_stop_ends_them(opened: Open, you: Someone) -> None:
    page = opened()
    page.locator(".row").first.wait_for()
    before = len(incoming(page))
    seen = growing(page, before)
    assert len(seen) == 4
    assert [len(s) for s in seen] == sorted(len(s) for s in seen)
    assert seen[-1].startswith(seen[0])
    page.get_by_role("button", name=re.compile("stop", re.IGNORECASE)).first.click()
    final = answered(page, before)
    # Unstopped, this reply goes on for 320 tokens.
    assert len(final) < 1000
    assert final.startswith(seen[0])
    assert you.replies()[-1]["text"]


def growing(page: Page, before: int) -> list[str]:
    """Ask for a long reply; the first four of its lengths that the page shows, or fewer."""
    send(page, "Please tell me a very long story about a lighthouse, with many details.")
    seen: list[str] = []
    quiet_since = time.monotonic()
    while len(seen) < 4 and time.monotonic() - quiet_since < PATIENCE_S:
        page.wait_for_timeout(60)
        words = incoming(page)
        now = words[-1] if len(words) > before else ""
        # What stands there until the model is loaded grows on the page as well.
        placeholder = any(text.startswith(now.strip(" ….")) for text in ("Thinking", LOADING))
        if not placeholder and now not in seen:
            seen.append(now)
            quiet_since = time.monotonic()
    return seen


def test_a_photo_is_shown_and_answered(opened: Open, you: Someone) -> None:
    page = opened()
    page.locator(".row").first.wait_for()
    before = len(you.replies())
    page.locator("#file").set_input_files(
        {"name": "desk.png", "mimeType": "image/png", "buffer": png(320, 200)}
    )
    page.get_by_label("Message", exact=True).fill("my desk")
    page.get_by_role("button", name="Send").click()
    picture = page.get_by_alt_text("my desk")
    picture.wait_for()
    until(page, "[...document.images].every(i => i.complete && i.naturalWidth)")
    assert len(wait(lambda: you.answers(before))[-1]) > 10


def test_an_edited_message_is_marked_and_answered_anew(opened: Open) -> None:
    page = opened("editor")
    send(page, "hello tehre")
    bubbles(page)
    page.get_by_label("Message", exact=True).press("ArrowUp")
    assert page.get_by_label("Message", exact=True).input_value() == "hello tehre"
    send(page, "hello there")
    page.get_by_text(re.compile("^edited")).first.wait_for()
    assert page.get_by_text("hello there").count() == 1
    assert page.get_by_text("tehre").count() == 0


def test_two_people_do_not_see_each_others_chat(opened: Open) -> None:
    ada, ben = opened("ada"), opened("ben")
    send(ada, "my secret is plugh")
    bubbles(ada)
    send(ben, "/help")
    bubbles(ben)
    assert ada.get_by_text("plugh").count() == 1
    assert ben.get_by_text("plugh").count() == 0
    assert ben.locator(".row[data-id]").count() == 2


def test_two_people_stand_side_by_side_in_one_window(browser: Browser, program: Program) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 760})
    page.goto(f"{program.url}?as=left&as=right")
    left, right = page.frame_locator("iframe").first, page.frame_locator("iframe").last
    left.get_by_label("Message", exact=True).fill("/help")
    left.get_by_role("button", name="Send").click()
    left.locator(".row:not(.mine)").first.wait_for(timeout=PATIENCE_MS)
    assert right.locator(".row").count() == 0
    page.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_text_stays_text_and_inside_the_window(opened: Open, width: int) -> None:
    page = opened("mallory", viewport={"width": width, "height": 740})
    for text in HOSTILE if width == 360 else []:
        if len(text) < 9000:
            page.evaluate("t => fetch('play/act', {method: 'POST', body: JSON.stringify("
                          "{as: 'mallory', kind: 'say', text: t})})", text)  # fmt: skip
    send(page, "<b>the end</b>")
    page.get_by_text("<b>the end</b>").last.wait_for()
    assert page.locator(".words b, .words img, .words script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "[...document.querySelectorAll('.row')].every(r => r.getBoundingClientRect().right <= "
        "document.getElementById('chat').getBoundingClientRect().right + 1)"
    )


def test_the_page_is_usable_by_keyboard_and_named_for_a_screen_reader(opened: Open) -> None:
    page = opened("keys")
    send(page, "/help")
    bubbles(page)
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, textarea, input:not([hidden]), img')].filter(e => "
        "!e.closest('[hidden]') && !(e.getAttribute('aria-label') || e.textContent.trim() || "
        "e.alt !== undefined)).map(e => e.outerHTML)"
    )
    assert unnamed == []
    page.get_by_role("button", name="Commands").focus()
    page.keyboard.press("Enter")
    until(page, "Boolean(document.activeElement.closest('#menu'))")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "commands"
    assert page.get_by_role("log", name="Conversation").is_visible()


def test_the_page_says_that_lanner_is_gone_and_finds_it_again(
    opened: Open, program: Program, you: Someone
) -> None:
    page = opened()
    page.locator(".row").first.wait_for()
    before = page.locator(".row[data-id]").count()
    time.sleep(1)
    program.end(signal.SIGKILL)
    page.get_by_text("Lanner is not running").wait_for()
    send(page, "are you there?")
    page.get_by_text("Nothing was sent").wait_for()
    assert page.get_by_label("Message", exact=True).input_value() == "are you there?"
    program.start()
    page.get_by_text("Lanner is not running").wait_for(state="hidden")
    assert page.locator(".row[data-id]").count() >= before
    assert you.say("/help")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_readmes_pictures_show_a_real_talk(
    opened: Open, program: Program, scheme: str, tmp_path: Path
) -> None:
    """With LANNER_PICTURES=docs/images the pictures are taken anew."""
    sam = Someone(program, "sam")
    if not sam.state()["messages"]:
        admin = Someone(program, "admin")
        # Refused, with the reason, until the model is there.
        wait(lambda: "use the adapter lanner-demo" in admin.say("/reload lanner-demo"))
        sam.agree()
        for words in TALK:
            sam.say(words)
        admin.say("/reload none")
    page = opened("sam", color_scheme=scheme, device_scale_factor=1.5,
                  viewport={"width": 420, "height": 780})  # fmt: skip
    page.locator(".row").nth(4).wait_for()
    page.wait_for_timeout(500)
    taken = tmp_path / ("chat.png" if scheme == "light" else "chat-dark.png")
    page.screenshot(path=str(taken))
    assert taken.stat().st_size > 20_000
    if folder := os.environ.get("LANNER_PICTURES"):
        shutil.copy(taken, Path(folder) / taken.name)
