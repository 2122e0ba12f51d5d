"""What is done to the engine between two steps: another adapter, another base model.

Each job says when it may run and what it does; the worker runs it. Knows the
engine; knows nothing of threads, waiting people or files.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from model.engine import Engine
from model.types import ModelError, ModelUnavailable

STILL_TALKING = "Replies were still being written, so nothing was changed; try again in a minute."


class DoesNotFit(ModelUnavailable):
    """The device has too little memory for the model beside what is there."""


class OldIsGone(Exception):
    """Neither the new base model nor the old one could be loaded."""


@dataclass(slots=True)
class Switch:
    """New replies use a staged adapter; running ones end on theirs."""

    staged: Any
    done: Future[None] = field(default_factory=Future)

    # Others may join while this waits for its turn.
    alone = False

    def may_run(self, engine: Engine) -> bool:
        """There are two banks: the older one must be free."""
        return engine.one_version

    def run(self, engine: Engine) -> Engine:
        """Raises AdapterRefused and changes nothing."""
        engine.decoder.switch(self.staged)
        return engine


@dataclass(slots=True)
class Rebase:
    """Another base model, or the old one again if it fails.

    `build` makes the new engine and `rebuild` the old one as it stands now.
    """

    build: Callable[[], Engine]
    rebuild: Callable[[], Engine]
    give_up_at: float
    done: Future[None] = field(default_factory=Future)

    alone = True

    def may_run(self, engine: Engine) -> bool:
        """Every running reply has ended; nobody joins meanwhile."""
        return not engine.running

    def run(self, engine: Engine) -> Engine:
        """The new engine; raises ModelUnavailable (the old one goes on) or OldIsGone."""
        try:
            return _proved(self.build)
        except DoesNotFit:
            pass
        except Exception as error:
            raise _sentence(error) from error
        return self._after(engine)

    def _after(self, engine: Engine) -> Engine:
        """The device cannot hold both: the old model goes before the new one comes."""
        engine.clear()
        engine.unload()
        gc.collect()
        try:
            return _proved(self.build)
        except Exception as error:
            why = _sentence(error)
        gc.collect()
        try:
            engine.decoder = self.rebuild().decoder
        except Exception as error:
            raise OldIsGone(f"{why} The old model did not load again either.") from error
        raise why


Job = Switch | Rebase


def _proved(build: Callable[[], Engine]) -> Engine:
    engine = build()
    engine.canary()
    return engine


def _sentence(error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    return ModelUnavailable(f"The new model failed its first words ({type(error).__name__}).")
