"""`python -m model chat|generate|info`: the model alone, without Telegram or a database."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from pathlib import Path

from model.loading import open_model
from model.types import Done, Failed, Model, ModelError, Request, Sampling, Text, Turn


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m model", description=__doc__)
    parser.add_argument("command", choices=["chat", "generate", "info"])
    parser.add_argument("prompt", nargs="?", default="", help="for generate")
    parser.add_argument("--model", help="a hub id, a folder or `demo`")
    parser.add_argument("--adapter", help="a folder's name in the adapters folder")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--adapters-dir", type=Path)
    parser.add_argument("--max-new-tokens", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int)
    return parser.parse_args()


async def _reply(model: Model, turns: list[Turn], options: argparse.Namespace, name: str) -> str:
    sampling = Sampling(
        temperature=options.temperature,
        max_new_tokens=options.max_new_tokens,
        seed=options.seed,
    )
    async for event in model.submit(Request(name, "you", "cli", tuple(turns), sampling)):
        if isinstance(event, Text):
            print(event.text, end="", flush=True)
        elif isinstance(event, Done):
            rate = event.completion_tokens / max(event.total_s, 1e-6)
            print(f"\n[{event.model}, {event.completion_tokens} tokens, {rate:.1f} tokens/s]")
            return event.text
        elif isinstance(event, Failed):
            print(event.sentence)
    return ""


async def _chat(model: Model, options: argparse.Namespace) -> None:
    turns: list[Turn] = []
    for number in itertools.count():
        try:
            line = await asyncio.to_thread(input, "you> ")
        except EOFError:
            return
        turns.append(Turn("user", line))
        turns.append(Turn("assistant", await _reply(model, turns, options, str(number))))


def _info(model: Model) -> None:
    status = model.status()
    for name in ("model", "demo", "parameters", "device", "path", "quantised_modules", "adapter"):
        print(f"{name}: {getattr(status, name)}")
    print(f"memory: {status.memory_bytes / 1e9:.2f} GB")
    for adapter in model.adapters():
        print(f"adapter {adapter.name}: sha256 {adapter.sha256[:16]}, for {adapter.base}")


async def _main(options: argparse.Namespace) -> None:
    model = open_model(
        model=options.model,
        adapter=options.adapter,
        data_dir=options.data_dir,
        adapters_dir=options.adapters_dir or options.data_dir / "adapters",
    )
    await model.start()
    try:
        if options.command == "info":
            _info(model)
        elif options.command == "generate":
            await _reply(model, [Turn("user", options.prompt)], options, "one")
        else:
            await _chat(model, options)
    finally:
        await model.stop()


if __name__ == "__main__":
    try:
        asyncio.run(_main(_arguments()))
    except ModelError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
