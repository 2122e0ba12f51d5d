"""Somebody who fills in a questionnaire in front of a whole bot."""

from __future__ import annotations

from bot.playground.state import person_id
from bot.store.tables import Sitting
from tests.bot.house import House, signed

ME = person_id("you")
REPLY = "I hear you. Tell me more."
PHQ9, GAD7 = 9, 7


async def begin(house: House, key: str) -> int:
    """Choose one in the menu; its number."""
    house.world.say("you", "/questionnaire")
    await house.until(lambda: f"questionnaire:choose:{key}" in str(house.shown()))
    await house.press(f"questionnaire:choose:{key}")
    return (await newest(house)).id


async def newest(house: House) -> Sitting:
    found = await house.lanner.store.newest_sitting(ME)
    assert found is not None
    return found


async def tap(house: House, number: int, item: int, value: int) -> None:
    await house.press(f"questionnaire:answer:{number}:{item}:{value}")


async def fill(house: House, key: str, *values: int) -> int:
    """Begin and answer as many questions as there are values."""
    number = await begin(house, key)
    for item, value in enumerate(values):
        await tap(house, number, item, value)
    await house.settled()
    return number


async def values(house: House) -> list[int]:
    """The answers that are kept."""
    return [each["value"] for each in (await newest(house)).answers["answers"]]


def button(house: House, data: str) -> tuple[int, str]:
    """The newest message with this button, and what the button carries."""
    for number in sorted(house.chat().messages, reverse=True):
        markup = house.chat().messages[number].get("reply_markup", {})
        for row in markup.get("inline_keyboard", []):
            for each in row:
                if signed(each, data):
                    return number, str(each["callback_data"])
    raise AssertionError(f"there is no button {data}")


def notes(house: House) -> list[str]:
    """The short words that pressed buttons were answered with."""
    return [note.text for note in house.chat().notes if note.text]


async def press_twice(house: House, first: str, second: str) -> None:
    """Two presses under one message before the bot has answered either."""
    pressed = [button(house, data) for data in (first, second)]
    for number, data in pressed:
        house.world.press("you", number, data)
    await house.until(lambda: not house.world.presses)
    await house.settled()


def last(house: House) -> str:
    return house.bot_says()[-1]


def never_seen(house: House, *words: str) -> bool:
    """Whether the model was asked nothing that holds these words."""
    said = [turn.text for request in house.model.asked for turn in request.turns]
    return not any(word in text for word in words for text in said)
