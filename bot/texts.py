"""What the bot says in its own words, in one place. Crisis texts are in bot/safety."""

from __future__ import annotations

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
HELP = (
    "Write to me as you would to a friend who listens. I am a program.\n\n"
    "/new begins a new conversation\n/stop stops my reply\n/retry writes it again\n"
    "/status shows this conversation\n/settings country and how long messages are kept\n"
    "/privacy what is stored\n/export everything I store about you\n/forget_me erases it"
)
PRIVACY = (
    "Stored on my operator's machine: your Telegram id, language, settings, our messages, and "
    "for safety how serious a message seemed (without its text). Nothing is sent to anyone "
    "else, except that Telegram carries our messages. Messages are deleted after {days} days "
    "(/settings changes it). /export gives you everything, /forget_me erases it."
)
NEW = "A new conversation. What is on your mind?"
STOPPED = "Stopped."
NOTHING_TO_STOP = "I wasn't writing anything."
NOTHING_TO_RETRY = "There is nothing to answer again yet."
UNKNOWN = "I can only read text for now. Would you tell me in words?"
UNKNOWN_COMMAND = "I don't know that command. /help lists those that I know."
FORGET = "Shall I erase everything I store about you? This cannot be undone."
FORGOTTEN = "Everything I stored about you is erased. /start begins anew."
KEPT = "Nothing was erased."
NOT_ADMIN = "Only an admin can do that."
BROKEN = "Something went wrong on my side. Please try again in a moment."
LOADING = "The model is not ready, so I cannot answer yet. Please try again in a minute."
WAITING = "You are number {place} in the queue{wait}."
SETTINGS = "Country: {country}\nMessages are kept for {days} days."
SYSTEM = (
    "You are Lanner, a program that listens to people under strain. Answer in two to four short "
    "sentences. Reflect what you heard and ask one open question. Be warm and plain. Never "
    "diagnose, never advise on medication, never claim to be a person or a therapist."
)
COMMANDS = {
    "start": "what this is",
    "help": "what I can do",
    "new": "begin a new conversation",
    "stop": "stop my reply",
    "retry": "write the last reply again",
    "status": "this conversation",
    "settings": "country, how long messages are kept",
    "privacy": "what is stored",
    "export": "everything I store about you",
    "forget_me": "erase everything",
}
ADMIN_COMMANDS = {"reload": "load an adapter: /reload NAME", "adapters": "adapters on disk"}
