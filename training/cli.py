"""The command line: words to recipes, errors to one sentence.

Knows options and commands; the work is in the modules that it calls.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.types import ModelError
from training import recipe as recipes
from training.errors import TrainingError
from training.recipe import Recipe
from training.run import Places, fit

COMMANDS = ("fit",)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("fit", "resume"):
        one = commands.add_parser(name)
        _recipe_options(one)
    return parser


def _recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=recipes.PRESETS)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("overrides", nargs="*", metavar="key=value")


def _recipe(options: argparse.Namespace) -> Recipe:
    values = recipes.load(options.recipe) if options.recipe else recipes.preset(options.preset or "default")
    if options.name:
        values = recipes.merge(values, {"name": options.name})
    return recipes.build(values, options.overrides)


def main(words: Sequence[str]) -> int:
    """The exit code."""
    options = _parser().parse_args(words)
    try:
        recipe = _recipe(options)
        fit(recipe, Places(options.data_dir, recipe.name), _say, resume=options.command == "resume")
    except (TrainingError, ModelError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201
