"""The page's own way to the world: what a person sees and does.

Everything is told as what changed since a version, so that a page never builds its
list anew. Knows nothing of the bot's side; the faults are out of its reach.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from bot.playground import media
from bot.playground.arguments import file_name
from bot.playground.chats import Chat, person_id
from bot.playground.errors import PersonError
from bot.playground.state import World
from bot.playground.text import whole

STATIC = Path(__file__).parent / "static"
WAIT_S, LOOK_S = 25, 1.0
MOST_ACT, MOST_UPLOAD = 1 << 20, 20 << 20
Banner = Callable[[], dict[str, Any]]


class Page:
    """`banner` is asked each time: what it says changes while a model loads.

    `settle` puts what a person did on disk before the page shows it as done.
    """

    def __init__(self, world: World, banner: Banner, settle: Callable[[], None]) -> None:
        self._world, self._banner, self._settle = world, banner, settle

    def routes(self) -> list[BaseRoute]:
        """Below `/play/`, and the page itself."""
        return [
            Route("/play/state", self._state),
            Route("/play/act", self._act, methods=["POST"]),
            Route("/play/upload", self._upload, methods=["POST"]),
            Route("/play/file/{number}", self._file),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ]

    async def _state(self, request: Request) -> Response:
        """What changed since `since`; waits until something did."""
        asked = request.query_params
        try:
            chat = self._world.chat(*_who(asked.get("as"), asked.get("group")))
        except PersonError as error:
            return JSONResponse({"error": str(error)}, 400)
        known = -1
        if asked.get("life") == self._world.life:
            with suppress(ValueError):
                known = int(asked.get("since", ""))
        await self._news(chat, known, asked.get("face", ""))
        return JSONResponse(self._told(chat, _who(asked.get("as"), None)[0], known))

    async def _news(self, chat: Chat, known: int, face: str) -> None:
        """Drafts end and models load by themselves: look now and then, not only when woken."""
        loop = asyncio.get_running_loop()
        end = loop.time() + WAIT_S
        while chat.version <= known and loop.time() < end and not self._world.updates.closing:
            chat.expire(self._world.clock())
            if self._face(chat) != face:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._world.changed.wait(), LOOK_S)

    def _face(self, chat: Chat) -> str:
        passing = [chat.draft, chat.acting and chat.acting[0], self._banner()]
        return f"{zlib.crc32(json.dumps(passing).encode()):x}"

    def _told(self, chat: Chat, name: str, known: int) -> dict[str, Any]:
        world = self._world
        chat.expire(world.clock())
        draft, me = chat.live, person_id(name)
        return {
            "life": world.life,
            "version": world.version if chat.version > known else known,
            "face": self._face(chat),
            "whole": known < 0,
            "me": me,
            "title": chat.name if chat.group else "",
            "messages": [m for n, m in chat.messages.items() if chat.changed.get(n, 0) > known],
            "gone": [number for version, number in chat.gone if version > known >= 0],
            "draft": draft
            and {"text": draft.text, "entities": draft.entities, "can_stop": draft.can_stop},
            "action": chat.acting and chat.acting[0],
            "notes": [
                {"id": n.id, "text": n.text, "alert": n.alert}
                for n in chat.notes
                if n.person == me and n.version > known >= 0
            ],
            "pinned": chat.pinned,
            "blocked": chat.blocked,
            "description": world.profile.get("description/", ""),
            "commands": world.menu(chat, me),
            "people": [c.name for c in world.chats.values() if not c.group][:50],
            "groups": [c.name for c in world.chats.values() if c.group][:50],
            "banner": self._banner(),
        }

    async def _act(self, request: Request) -> Response:
        if int(request.headers.get("content-length") or MOST_ACT) > MOST_ACT:
            return JSONResponse({"error": "This is too much at once."}, 413)
        try:
            body = await request.json()
            done = self._do(body, *_who(body.get("as"), body.get("group")))
        except PersonError as error:
            return JSONResponse({"error": str(error)}, 400)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return JSONResponse({"error": "The page sent something unknown: reload it."}, 400)
        self._settle()
        return JSONResponse(done)

    def _do(self, body: dict[str, Any], name: str, group: str | None) -> Any:
        world, kind = self._world, body.get("kind")
        if kind == "say":
            return world.say(name, str(body["text"]), group, body.get("reply_to"))
        if kind == "edit":
            world.edit(name, int(body["message_id"]), str(body["text"]), group)
        elif kind == "press":
            data = str(body["data"])
            return {"press": world.press(name, int(body["message_id"]), data, group)}
        elif kind == "stop":
            world.stop(name)
        elif kind in ("block", "unblock"):
            world.block(name, kind == "block")
        elif kind == "clear":
            world.clear(name, group)
        else:
            raise KeyError(kind)
        return {}

    async def _upload(self, request: Request) -> Response:
        if int(request.headers.get("content-length") or 0) > MOST_UPLOAD:
            return JSONResponse({"error": "Telegram gives bots files of 20 MB at most."}, 413)
        try:
            async with request.form(max_part_size=MOST_UPLOAD) as form:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise PersonError("There is no file.")
                name, group = _who(form.get("as"), form.get("group"))
                kind = str(form.get("kind", "document"))
                if kind not in media.KINDS:
                    raise PersonError("This kind of file is unknown.")
                data, caption = await file.read(), str(form.get("caption") or "")
                title = file_name(file.filename)
                sent = self._world.send(name, kind, title, data, caption, group)
        except (PersonError, MultiPartException) as error:
            return JSONResponse({"error": str(error)}, 400)
        self._settle()
        return JSONResponse(sent)

    async def _file(self, request: Request) -> Response:
        found = self._world.files.get(request.path_params["number"])
        if found is None:
            return Response("This file is no longer kept.", 404)
        headers, kind = media.headers(found.name, found.data)
        return Response(found.data, headers=headers, media_type=kind)


def _who(name: Any, group: Any) -> tuple[str, str | None]:
    """A person's name and a group's title, as short as Telegram's."""
    clean = [whole(str(given or ""))[:64].strip() for given in (name, group)]
    return clean[0] or "you", clean[1] or None
