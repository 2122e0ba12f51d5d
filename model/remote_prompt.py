"""What a remote server is asked: as much of the conversation as surely fits.

The tokenizer is there and not here, so characters stand for tokens. Knows turns
and sampling; knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.types import Request, Turn

# Characters that a token of plain text has at least, on average; only the server can count.
CHARACTERS = 3
CONTEXT_TOKENS = 2048


def budget(request: Request) -> int:
    """Characters that a prompt may have, so that its reply has room."""
    room = CONTEXT_TOKENS - request.sampling.max_new_tokens
    return max(room, CONTEXT_TOKENS // 2) * CHARACTERS


def newest(turns: Sequence[Turn], characters: int) -> list[Turn]:
    """The system turn and the newest others that fit; a last turn too long keeps its end."""
    system = [turn for turn in turns if turn.role == "system"]
    left = characters - sum(len(turn.text) for turn in system)
    talk: list[Turn] = []
    for turn in reversed([turn for turn in turns if turn.role != "system"]):
        left -= len(turn.text)
        if left < 0:
            break
        talk.insert(0, turn)
    if not talk and len(turns) > len(system):
        talk = [Turn(turns[-1].role, turns[-1].text[-max(characters // 2, 1) :])]
    while len(talk) > 1 and talk[0].role == "assistant":
        talk.pop(0)
    return [*system, *talk]


class Plain:
    """A tokenizer that nobody has here: no chat template, no control tokens, characters count."""

    chat_template = None
    eos_token = ""
