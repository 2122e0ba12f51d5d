"""What the bot says in its own words, in one place. Crisis texts are in bot/safety."""

from __future__ import annotations

from bot.people import PersonSettings
from bot.store.tables import Message

CONSENT_VERSION = "2026-11-24"
WELCOME = (
    "Hello, I'm Lanner, a program that listens. I am not a person, a therapist or a treatment, "
    "and I can be wrong.\n\nMy words are written by a language model on my operator's own "
    "machine. What you write is stored there so that I remember our talk; /privacy says more. "
    "In an emergency call your local emergency number.\n\n"
    "Are you 18 or older, and do you agree to this?"
)
AGREED = "Thank you. What is on your mind?"
DECLINED = "That's all right. Nothing was stored. You can come back with /start."
FIRST_CONSENT = "Before we talk, please read this: /start"
FIRST_CONSENT_GROUP = "Before we talk, please read this with me in private: t.me/{name}?start=hello"
IN_PRIVATE = "That is between the two of us: please write to me in private, t.me/{name}"
HELP = (
    "Write to me as you would to a friend who listens. I am a program.\n\n"
    "/new begins a new conversation\n/conversations lists, opens, names and deletes them\n"
    "/stop stops my reply\n/retry writes it again\n/continue lets me go on\n"
    "Edit a message, and I answer it anew.\n\n"
    "/questionnaire PHQ-9 and GAD-7, about low mood and anxiety (in English)\n"
    "/cancel ends it\n\n"
    "/status shows this conversation\n/settings language, country, time zone, check-ins, how long "
    "messages are kept\n"
    "/operator whether a human may step in\n/privacy what is stored\n"
    "/export everything I store about you\n/forget_me erases it"
)
PRIVACY = (
    "Stored on my operator's machine: your Telegram id, language, settings, our messages, "
    "your answers to questionnaires and their results, and for safety how serious a message seemed "
    "(without its text). Nothing is sent to anyone else, except that Telegram carries our "
    "messages. Messages and questionnaires are deleted after {days} days "
    "(/settings changes it). /export gives you everything, /forget_me erases it."
)
NEW = "A new conversation. What is on your mind?"
STOPPED = "Stopped."
NOTHING_TO_STOP = "I wasn't writing anything."
NOTHING_TO_RETRY = "There is nothing to answer again yet."
NOTHING_TO_CONTINUE = "There is nothing to go on from yet."
GO_ON = "Please go on from where you stopped."
UNKNOWN_COMMAND = "I don't know that command. /help lists those that I know."
OLD_BUTTON = "That button is no longer in use. /help shows what I can do."
FORGET = "Shall I erase everything I store about you? This cannot be undone."
FORGOTTEN = "Everything I stored about you is erased. /start begins anew."
FORGOTTEN_SOON = (
    "Everything I stored about you is erased; the last unreadable traces in the file go within "
    "a day. /start begins anew."
)
KEPT = "Nothing was erased."
NOT_ADMIN = "Only an admin can do that."
BROKEN = "Something went wrong on my side. Please try again in a moment."
GIVEN_UP = "I could not handle your last message, and I have put it aside. Please send it anew."
DEVICE_DEAD = (
    "The machine that writes my words has stopped, and I am starting anew. Please send /retry in "
    "a minute or two."
)
EMPTY = "I could not find words for that. Please send /retry, or tell me a little more."
LOADING = "The model is still being loaded. Your reply begins as soon as it is ready."
WAITING = "You are number {place} in the queue{wait}."

NOT_TEXT = (
    "Thank you for {kind}. I am a program that reads text alone, so I cannot take it in. "
    "Would you tell me in words?"
)
STICKER = "I cannot see stickers. Would you tell me in words?"
STICKER_EMOJI = (
    "I cannot see stickers, I only know that yours stands for {emoji}. Would you tell me in words?"
)
ONLY_THE_WORDS = "I cannot take in {kind}, but I read what you wrote with it."
KINDS = {
    "photo": "the picture",
    "voice": "the voice message",
    "video_note": "the video message",
    "video": "the video",
    "animation": "the animation",
    "audio": "the recording",
    "document": "the file",
    "location": "the place",
    "venue": "the place",
    "contact": "the contact",
    "poll": "the poll",
    "dice": "the throw",
    "game": "the game",
    "story": "the story",
}
KIND_UNKNOWN = "what you sent"

SETTING_NAMES = {
    "language": "Language",
    "country": "Country",
    "zone": "Time zone",
    "check-in": "Daily check-in",
    "days": "Keeping messages",
    "streaming": "While I write",
}
SETTING_HELP = {
    "language": "Which language shall I use for my own texts?",
    "country": "Which country are you in? I use it to name help near you.",
    "zone": "Which time zone are you in? I use it for check-ins.",
    "check-in": "Shall I ask once a day how you are, and when?",
    "days": "After how many days shall I delete our messages?",
    "streaming": "How shall I show my words while I write?",
}
STREAMING = {
    "As a draft": "draft",
    "In a message that grows": "edit",
    "Only when I am done": "off",
}
OTHER = "Another…"
BACK = "‹ Back"
ASK_COUNTRY = "Which country? Write its English name or its two letters, as a reply to this."
ASK_ZONE = "Which time zone? Write a place like Europe/Berlin, as a reply to this."
ASK_DAYS = "How many days? Write a number, as a reply to this."
ASK_CHECK_IN = "At what time? Write it on a 24-hour clock, like 09:30, as a reply to this."
ASK_NAME = "What shall conversation NUMBER be called? Write its name, as a reply to this."

TALKS = "Your conversations, the open one first:"
NO_TALKS = "There is no conversation yet. Just write to me."
NO_TALK = "That conversation is no longer here."
OPENED = "Back in that conversation. I remember what we said in it."
RENAMED = "It has its name now."
DELETE_TALK = "Shall I delete this conversation and all that was said in it?"
DELETED = "The conversation is deleted."

CHECK_IN = "Hello, it's me, Lanner, as you asked. How are you today? You need not answer."

NO_ADAPTERS = "There are no adapters in the adapters folder."
WHICH_BASE = "Which one? Write /reload base NAME, a hub id or a folder on this machine."
LOADING_BASE = "Loading {name}. People are answered by the present model until it is ready."
SYSTEM = (
    "You are Lanner, a program that listens to people under strain. Answer in two to four short "
    "sentences. Reflect what you heard and ask one open question. Be warm and plain. Never "
    "diagnose, never advise on medication, never claim to be a person or a therapist."
)


def settings(found: PersonSettings) -> str:
    """A person's settings as they are."""
    shown = next(label for label, value in STREAMING.items() if value == found.streaming)
    check_in = f"{found.check_in_at:%H:%M}" if found.check_in_at else "off"
    return "\n".join(
        [
            f"Language: {found.language}",
            f"Country: {found.country or 'not set'}",
            f"Time zone: {found.timezone or 'not set'}",
            f"Daily check-in: {check_in}",
            f"Messages are kept for {found.retention_days} days",
            f"While I write: {shown.lower()}",
        ]
    )


def talk_status(messages: int, last: Message | None) -> str:
    """A conversation, and what of it the model read when it last wrote."""
    left_out = (last.turns_left_out or 0) if last else 0
    lines = [
        f"{messages} messages in this conversation; "
        f"the oldest {left_out} no longer fit into what the model reads."
    ]
    if last is not None:
        adapter = f" with the adapter {last.adapter}" if last.adapter else ""
        lines.append(
            f"The last reply: {last.model}{adapter}, read {last.prompt_tokens} tokens, wrote "
            f"{last.completion_tokens} in {last.total_s or 0:.1f} s."
        )
    return "\n".join(lines)
