"""The buttons under messages. Their data is short, and names no person and no words."""

from __future__ import annotations

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard

Rows = list[list[tuple[str, str]]]


def keyboard(rows: Rows) -> Keyboard:
    """Rows of (label, data)."""
    return Keyboard([[Button(label, callback_data=data) for label, data in row] for row in rows])


STOP = keyboard([[("⏹ Stop", "stop")]])
CONSENT = keyboard(
    [[("I am 18 or older and agree", "consent:yes")], [("No, thank you", "consent:no")]]
)
HELP = keyboard(
    [
        [("New conversation", "do:new"), ("My conversations", "do:conversations")],
        [("Answer again", "do:retry"), ("Go on", "do:continue")],
        [("Questionnaires", "questionnaire")],
        [("Settings", "do:settings"), ("Privacy", "do:privacy")],
    ]
)
PRIVACY = keyboard(
    [[("Give me my data", "do:export")], [("How long messages are kept", "set:days")],
     [("Erase everything", "do:forget_me")]]
)  # fmt: skip
FORGET = keyboard([[("Erase everything", "forget:yes"), ("Keep it", "forget:no")]])
CHECK_IN = keyboard([[("No more of these", "set:check-in:off")]])
