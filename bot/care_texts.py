"""What is said about hand-over and by whom. The fixed texts for danger are in bot/safety."""

from __future__ import annotations

OPERATOR = (
    "I am a program. Behind me there is an operator, a human being who runs this bot but is not "
    "an emergency service and may be asleep. If you allow it, then when you seem to be in danger "
    "I tell the operator so (that and when, not what you wrote), and the operator may take over "
    "this chat. You are always told who is writing, and you can end it here at any time."
)
ALLOWED_NOW = "Now: allowed."
NOT_ALLOWED_NOW = "Now: not allowed."
ALLOWED = "Thank you. The operator may be told and may take over. /operator changes it."
NOT_ALLOWED = "All right: the operator is not told and cannot take over. /operator changes it."
AT_RISK = "These people agreed and may be in danger. /handoff NUMBER takes over:"
NONE_AT_RISK = (
    "Nobody who agreed to a hand-over seems to be in danger. /handoff NUMBER takes over, "
    "/handoff end gives back."
)
HAS_NOT_AGREED = "That person has not agreed to a hand-over, so you cannot take over."
TAKEN_ALREADY = (
    "That person is with an operator already, or you are with somebody: /handoff end first."
)
YOU_WRITE = (
    "You have taken over. What you write here goes to {person}, and their words come to you. "
    "Words of danger still get the fixed reply too. /handoff end gives back."
)
GAVE_BACK = "Given back: the program writes again, and the person was told."
NOBODY = "You have not taken over any chat."
