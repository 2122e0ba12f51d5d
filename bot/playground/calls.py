"""The methods over HTTP, as a bot reaches them at Telegram.

Reads a request, runs the method under the faults that are on, writes Telegram's
answer. Knows nothing of the page.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.playground.arguments import Arguments, Upload, file_name
from bot.playground.cutting import Lines
from bot.playground.errors import ApiError, bad
from bot.playground.faults import Cut, Faults
from bot.playground.ground import Ground
from bot.playground.methods import call

LONGEST_POLL_S = 50
MOST_BODY = 60 << 20
# What these show is gone in seconds by itself.
PASSING = {"sendmessagedraft", "sendchataction"}
UNKNOWN = ApiError(404, "Not Found")
FOREIGN = ApiError(401, "Unauthorized")


class Answer(JSONResponse):
    """In ASCII with escapes, as Telegram answers: they hold what UTF-8 cannot, lone surrogates."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content).encode("ascii")


class Calls:
    """The bot's side of the server. `settle` puts what was done on disk before it is answered."""

    def __init__(self, world: Ground, token: str, faults: Faults, lines: Lines,
                 settle: Callable[[], None]) -> None:  # fmt: skip
        self._world, self._token, self._settle = world, token, settle
        self._faults, self._lines = faults, lines

    def routes(self) -> list[Route]:
        """Where Telegram has them."""
        return [
            Route("/bot{token}/{method}", self._method, methods=["GET", "POST"]),
            Route("/file/bot{token}/{number}", self._file),
        ]

    async def run(self, method: str, arguments: Arguments) -> Any:
        """One call under the faults that are on; raises ApiError or faults.Cut."""

        async def work() -> Any:
            if method.lower() == "getupdates":
                return await self._get_updates(arguments)
            result = call(self._world, method, arguments)
            if method.lower() not in PASSING:
                self._settle()
            return result

        return await self._faults.around(method, arguments.values, work)

    async def _method(self, request: Request) -> Response:
        try:
            self._check(request)
            arguments = await read(request)
            result = await self._until_left(request, arguments)
        except ApiError as error:
            return JSONResponse(error.answer(), error.code)
        except Cut:
            return self._lines.hang_up()
        except ClientDisconnect:
            # A bot that was killed half way through its call.
            return Response()
        return Answer({"ok": True, "result": result})

    async def _until_left(self, request: Request, arguments: Arguments) -> Any:
        """A caller that hangs up ends its long poll, so that it takes no update with it."""
        method = request.path_params["method"]
        work = asyncio.ensure_future(self.run(method, arguments))
        if method.lower() != "getupdates":
            return await work
        left = asyncio.ensure_future(_left(request))
        await asyncio.wait([work, left], return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        if not work.done():
            work.cancel()
            return []
        return work.result()

    async def _get_updates(self, arguments: Arguments) -> list[dict[str, Any]]:
        if "allowed_updates" in arguments.values:
            self._world.updates.allow(arguments.objects("allowed_updates"))
        limit = arguments.number("limit", 100)
        timeout = min(max(arguments.number("timeout"), 0), LONGEST_POLL_S)
        return await self._world.updates.read(
            arguments.number("offset"), limit if 1 <= limit <= 100 else 100, timeout
        )

    async def _file(self, request: Request) -> Response:
        found = self._world.files.get(request.path_params["number"])
        try:
            self._check(request)
        except ApiError as error:
            return JSONResponse(error.answer(), error.code)
        if found is None:
            return JSONResponse(UNKNOWN.answer(), UNKNOWN.code)
        return Response(found.data, media_type="application/octet-stream")

    def _check(self, request: Request) -> None:
        given = request.path_params["token"].encode("utf-8", "replace")
        if not hmac.compare_digest(given, self._token.encode()):
            raise FOREIGN


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def read(request: Request) -> Arguments:
    """The arguments, whichever of Telegram's ways they came."""
    found = Arguments(dict(request.query_params))
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if int(request.headers.get("content-length") or 0) > MOST_BODY:
        raise ApiError(413, "Request Entity Too Large")
    if kind == "multipart/form-data":
        await _read_form(request, found)
        return found
    body = await request.body()
    try:
        text = body.decode()
        found.values |= json.loads(text) if kind == "application/json" and text else {}
    except UnicodeDecodeError:
        raise bad("strings must be encoded in UTF-8") from None
    except (ValueError, TypeError, RecursionError):
        raise bad("can't parse request body as JSON object") from None
    if kind == "application/x-www-form-urlencoded":
        found.values |= dict(parse_qsl(text, keep_blank_values=True))
    return found


async def _read_form(request: Request, found: Arguments) -> None:
    try:
        async with request.form(max_part_size=MOST_BODY) as form:
            for key, value in form.multi_items():
                if isinstance(value, UploadFile):
                    found.uploads[key] = Upload(file_name(value.filename), await value.read())
                else:
                    found.values[key] = value
    except MultiPartException as error:
        raise bad(f"can't parse the form: {error.message}") from None
