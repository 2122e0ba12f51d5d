"""`python -m model chat|generate|info`: the model alone, without Telegram or a database.

The reply goes to standard output, everything else to standard error, so that
`python -m model generate "…" > reply.txt` holds the reply and nothing more.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import os
import sys
from pathlib import Path

from model.loading import open_model
from model.types import Done, Event, Failed, Model, ModelError, Request, Sampling, Text, Turn

INFO = ("model", "demo", "parameters", "device", "path", "quantised_modules", "adapter", "slots")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model", description=__doc__)
    parser.add_argument("command", choices=["chat", "generate", "info"])
    parser.add_argument("prompt", nargs="?", help="for generate; read from standard input without")
    parser.add_argument("--model", help="a hub id, a folder, `demo`, or http://host:8000/v1#name")
    parser.add_argument("--remote-key-file", type=Path, help="holds that server's API key")
    parser.add_argument("--adapter", help="a folder's name in the adapters folder")
    parser.add_argument("--system", help="what the model is told first")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--adapters-dir", type=Path)
    parser.add_argument("--max-new-tokens", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=0.7, help="0 is greedy")
    parser.add_argument("--seed", type=int, help="the same seed writes the same text")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _reply(model: Model, turns: list[Turn], options: argparse.Namespace, name: str) -> str:
    """Write a reply as it comes; raises ModelError when there is none."""
    sampling = Sampling(
        temperature=options.temperature,
        max_new_tokens=options.max_new_tokens,
        seed=options.seed,
    )
    last: Event | None = None
    async for event in model.submit(Request(name, "you", "cli", tuple(turns), sampling)):
        last = event
        if isinstance(event, Text) and not options.json:
            print(event.text, end="", flush=True)
    if isinstance(last, Failed):
        raise ModelError(last.sentence)
    if not isinstance(last, Done):
        return ""
    _tell(last, options)
    return last.text


def _tell(done: Done, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(dataclasses.asdict(done), ensure_ascii=False), flush=True)
        return
    print(flush=True)
    rate = done.completion_tokens / max(done.total_s, 1e-6)
    adapter = f" + {done.adapter}" if done.adapter else ""
    cut = ", cut at its limit" if done.reason == "length" else ""
    _say(
        f"[{done.model}{adapter}: {done.completion_tokens} tokens, {rate:.0f} a second, "
        f"first after {done.first_token_s:.2f} s{cut}]"
    )


async def _chat(model: Model, options: argparse.Namespace) -> None:
    _say("Write a line and press Enter; an empty line, or Ctrl-D, ends the talk.")
    turns = _system(options)
    for number in itertools.count():
        try:
            line = await asyncio.to_thread(input, "you> ")
        except EOFError:
            return
        if not line.strip():
            return
        turns.append(Turn("user", line))
        turns.append(Turn("assistant", await _reply(model, turns, options, str(number))))


def _system(options: argparse.Namespace) -> list[Turn]:
    return [Turn("system", options.system)] if options.system else []


def _prompt(options: argparse.Namespace) -> str:
    text: str = options.prompt if options.prompt is not None else sys.stdin.read()
    if not text.strip():
        raise ModelError("There is nothing to answer: give the prompt in quotes after `generate`.")
    return text


def _key(path: Path | None) -> str | None:
    try:
        return path.read_text("utf-8").strip() if path else None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The key cannot be read from {path}: {error}.") from error


def _info(model: Model, options: argparse.Namespace) -> None:
    status = model.status()
    found = {name: getattr(status, name) for name in INFO}
    found["memory_gb"] = round(status.memory_bytes / 1e9, 2)
    found["adapters"] = [
        {"name": a.name, "sha256": a.sha256, "base": a.base, "verdict": a.verdict}
        for a in model.adapters()
    ]
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if name != "adapters":
            print(f"{name.replace('_', ' '):<18}{'none' if value is None else value}")
    for a in model.adapters():
        verdict = a.note or "no verdict"
        print(f"{'adapter':<18}{a.name}, for {a.base}, sha256 {a.sha256[:16]}, {verdict}")


async def _main(options: argparse.Namespace) -> None:
    prompt = _prompt(options) if options.command == "generate" else ""
    model = open_model(
        model=options.model,
        adapter=options.adapter,
        data_dir=options.data_dir,
        adapters_dir=options.adapters_dir or options.data_dir / "adapters",
        remote_key=_key(options.remote_key_file),
        say=_say,
    )
    await model.start()
    try:
        if options.command == "info":
            _info(model, options)
        elif options.command == "generate":
            await _reply(model, [*_system(options), Turn("user", prompt)], options, "one")
        else:
            await _chat(model, options)
    finally:
        await model.stop()


def main() -> None:
    """Run a command; a failure is one sentence and exit status 1."""
    try:
        asyncio.run(_main(_arguments().parse_args()))
    except ModelError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone (`| head`): say nothing, and keep Python from saying it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
