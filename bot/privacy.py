"""What a person may take along, and how they are forgotten.

An export is two files: JSON for programs, and a page that opens without a
network. Knows how a row reads to a person; knows nothing of tables' queries
or of Telegram.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import Any

from bot.clock import Clock
from bot.store.store import Store

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}h1,h2{line-height:1.2}table{border-collapse:collapse;width:100%}"
    "td,th{border:1px solid #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top}"
    ".m{margin:.6rem 0;padding:.5rem .8rem;border-radius:.8rem;background:#f0f0f0;"
    "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}.user{background:#e3f0ff}"
    "small{color:#555}"
)
# Nothing that a message holds can load or run anything, whatever it looks like.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
TABLES = {
    "consents": "What you agreed to",
    "safety_decisions": "How serious messages seemed (without their text)",
    "risks_held": "How serious things are taken to be now, by chat",
    "check_ins": "Check-ins",
    "admitted": "Your invitation",
    "replies_under_way": "Replies on their way",
    "updates_not_finished": "Messages not answered yet",
    "admin_actions": "Admins' actions",
}


@dataclass(frozen=True, slots=True)
class Export:
    """Two files of the same content."""

    data: bytes
    page: bytes


class Privacy:
    """Export and erasure."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def export(self, person_id: int) -> Export:
        """Everything that is stored about a person."""
        found = {"exported": self._clock().isoformat(), **await self._store.export(person_id)}
        # Updates that wait are kept as Telegram sent them: escapes hold what UTF-8 cannot.
        text = json.dumps(found, ensure_ascii=False, indent=1)
        return Export(text.encode("utf-8", "replace"), page(found).encode("utf-8", "replace"))

    async def forget_me(self, person_id: int) -> bool:
        """Erase everything; False when the last traces go with the next housekeeping."""
        return await self._store.forget(person_id)


def page(export: dict[str, Any]) -> str:
    """The readable file: no script, no link, nothing from elsewhere."""
    talks = [_talk(talk) for talk in export["conversations"]]
    body = [
        "<h1>What Lanner stores about you</h1>",
        f"<p><small>As of {_text(export['exported'])}. Times are UTC.</small></p>",
        "<h2>You and your settings</h2>",
        _rows([export["person"]] if export["person"] else []),
        *(f"<h2>{escape(title)}</h2>{_rows(export[name])}" for name, title in TABLES.items()),
        "<h2>Questionnaires</h2>",
        _rows([_filled_in(row) for row in export["questionnaires"]]),
        "<h2>Conversations</h2>",
        *(talks or ["<p>None.</p>"]),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width"><title>Lanner: your data</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _filled_in(row: dict[str, Any]) -> dict[str, Any]:
    """A questionnaire's row as a person reads it."""
    held = row["answers"]
    return {
        "begun": row["begun"],
        "questionnaire": held.get("instrument"),
        "state": row["state"],
        "answers": ", ".join(str(each["value"]) for each in held.get("answers", [])),
        **{name: held.get(name) for name in ("score", "most", "band")},
    }


def _talk(talk: dict[str, Any]) -> str:
    said = [
        f'<div class="m {"user" if m["role"] == "user" else "bot"}" dir="auto">'
        f"<small>{'You' if m['role'] == 'user' else 'Lanner'}, {_text(m['created'])}"
        f"{_made(m)}</small><br>{_text(m['text'])}</div>"
        for m in talk["messages"]
    ]
    return f"<h3>Begun {_text(talk['created'])}</h3>{''.join(said) or '<p>No messages.</p>'}"


def _made(message: dict[str, Any]) -> str:
    parts = [message.get("model"), message.get("adapter")]
    named = [_text(part) for part in parts if part]
    return f" ({', '.join(named)})" if named else ""


def _rows(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{_text(name)}</th>" for name in rows[0])
    lines = ["".join(f"<td>{_text(value)}</td>" for value in row.values()) for row in rows]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A browser drops NUL; the other controls it shows as nothing.
    return escape(text.replace("\0", "\ufffd"))
