from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.e2e.program import Program, Someone


@pytest.fixture(scope="package")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One program for all: each start loads the demo model."""
    folder = tmp_path_factory.mktemp("home") / "data"
    folder.mkdir()
    program = Program(folder)
    program.start()
    yield program
    if program.running():
        program.end(signal.SIGKILL)


@pytest.fixture
def you(program: Program) -> Someone:
    """Somebody who has agreed and talks."""
    you = Someone(program, "you")
    if not you.state()["messages"]:
        you.agree()
    return you
