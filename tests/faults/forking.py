"""Processes that start in milliseconds, to be killed: forked from one that has imported all."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any


def context() -> ForkServerContext:
    """Forks from a server process that already holds the store's modules."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["bot.store.store", "bot.store.presence", "asyncpg"])
    return made


def start(target: Any, *arguments: Any) -> BaseProcess:
    """A process that runs `target(*arguments)`."""
    process = context().Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    """SIGKILL: nothing is flushed, nothing is said."""
    process.kill()
    process.join(60)
    process.close()
