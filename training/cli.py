"""The command line: words to recipes, errors to one sentence.

Knows options and commands; the work is in the modules that it calls.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from model.types import ModelError
from training import recipe as recipes
from training.errors import TrainingError
from training.recipe import Recipe

ABOUT = """From conversations to an adapter one can trust.

  check    read and clean the data; say what is left out and why
  plan     memory and time on this machine, before anything loads
  fit      train (also without the word: python -m training --preset demo)
  resume   go on where a run was killed
  compare  base against adapter: report.html, report.json, go or no-go
  merge    a bf16 model with the adapter inside, for vLLM and others
  export   copy an adapter to where a bot's /reload finds it
  publish  a model card and an upload to the hub; only shows it unless told
"""
EXAMPLES = """examples:
  python -m training --preset demo
  python -m training check --preset default
  python -m training plan --preset t4 fit.batch=16
  python -m training fit --recipe mine.yaml --name warm fit.steps=80
  python -m training fit --preset demo data.sources=[mine.jsonl] --name mine
  accelerate launch --config_file training/accelerate/fsdp_qlora.yaml -m training fit
  python -m training compare --name demo
"""


def main(words: Sequence[str]) -> int:
    """The exit code; errors are one sentence on stderr."""
    words = list(words)
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help"):
        words.insert(0, "fit")
    options = _parser().parse_args(words)
    try:
        options.run(options)
    except (TrainingError, ModelError) as error:
        _say(str(error), error=True)
        return 1
    except KeyboardInterrupt:
        _say("\nStopped; `resume` goes on from the last checkpoint.", error=True)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, run, told in (
        ("check", _check, "read and clean the data, say what is left out and why"),
        ("plan", _plan, "memory and time on this machine, before anything loads"),
        ("fit", _fit, "train an adapter"),
        ("resume", _fit, "go on where a run was killed"),
    ):
        one = _command(commands, name, run, told)
        _recipe_options(one)
    _adapter_commands(commands)
    return parser


def _adapter_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, run, told in (
        ("compare", _compare, "base against adapter, with report and verdict"),
        ("merge", _merge, "a bf16 model with the adapter inside"),
        ("export", _export, "copy an adapter to where /reload finds it"),
        ("publish", _publish, "model card and upload; a dry run unless --upload"),
    ):
        one = _command(commands, name, run, told)
        one.add_argument("--name", default="default", help="the run's name (its adapter's folder)")
        one.add_argument("--adapter", type=Path, help="an adapter's folder, instead of a name")
        if name == "compare":
            one.add_argument(
                "overrides", nargs="*", metavar="key=value", help="such as compare.prompts=8"
            )
        if name in ("merge", "export"):
            one.add_argument("--out", type=Path, help="the folder to write")
        if name == "publish":
            one.add_argument("--repo", required=True, help="owner/name on the hub")
            one.add_argument("--upload", action="store_true", help="really upload")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    told: str,
) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
    one.set_defaults(run=run)
    one.add_argument("--data-dir", type=Path, default=Path("data"), help="default: data")
    return one


def _recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=recipes.PRESETS, help="a shipped recipe")
    parser.add_argument("--recipe", type=Path, help="a recipe's YAML file")
    parser.add_argument("--name", help="the run's and the adapter's name")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as fit.steps=80")


def _recipe(options: argparse.Namespace) -> Recipe:
    if options.recipe and options.preset:
        raise TrainingError("Give a preset or a recipe; a recipe may name its preset inside.")
    name = options.preset or "default"
    values = recipes.load(options.recipe) if options.recipe else recipes.preset(name)
    if options.name:
        values = recipes.merge(values, {"name": options.name})
    return recipes.build(values, options.overrides)


def _adapter(options: argparse.Namespace) -> Path:
    folder: Path = options.adapter or options.data_dir / "adapters" / options.name
    if not folder.is_dir():
        raise TrainingError(f"There is no adapter at {folder}: train one, or name it by --adapter.")
    return folder


def _check(options: argparse.Namespace) -> None:
    from training.check import check

    check(_recipe(options), options.data_dir, _say)


def _plan(options: argparse.Namespace) -> None:
    from training.plan import plan

    plan(_recipe(options), options.data_dir, _say)


def _fit(options: argparse.Namespace) -> None:
    from training.run import Places, fit

    recipe = _recipe(options)
    places = Places(options.data_dir, recipe.name)
    first = fit(recipe, places, _say, resume=options.command == "resume")
    if first and recipe.compare.after_fit:
        gc.collect()
        _say("")
        _report(places.adapter, options.data_dir, ())


def _compare(options: argparse.Namespace) -> None:
    _report(_adapter(options), options.data_dir, options.overrides)


def _report(folder: Path, data_dir: Path, overrides: Sequence[str]) -> None:
    from training import report
    from training.compare import compare

    result = compare(folder, data_dir, _say, overrides)
    path = report.save(folder, result)
    for one in result["replies"][:3]:
        _say(f"\nasked    {_flat(one['prompt'][-1]['text'])}")
        _say(f"base     {_flat(one['base']['text'])}\nadapter  {_flat(one['adapter']['text'])}")
    _say("\n" + report.summary(result))
    _say(f"The report is {path}; it opens in a browser, offline.")


def _merge(options: argparse.Namespace) -> None:
    from training.merge import merge

    folder = _adapter(options)
    merge(folder, options.out or options.data_dir / "models" / folder.name, options.data_dir, _say)


def _export(options: argparse.Namespace) -> None:
    from training.merge import export

    folder = _adapter(options)
    export(folder, options.out or options.data_dir / "adapters" / folder.name, _say)


def _publish(options: argparse.Namespace) -> None:
    from training.publish import publish

    publish(_adapter(options), options.repo, _say, upload=options.upload)


def _flat(text: str, most: int = 240) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def _say(text: str, *, error: bool = False) -> None:
    print(text, file=sys.stderr if error else sys.stdout, flush=True)
