"""`python -m training safety ...`: train the classifier, report on the gate, search for leaks.

    python -m training safety                      train on the written messages, ship the head
    python -m training safety report DATA_DIR      measure the gate: safety_report.html and .json
    python -m training safety leaks DATA_DIR       near-duplicates of evaluation-only texts

Knows the commands; the work is in the modules that it calls.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bot.safety.gate import SafetyGate
from bot.safety.scores import ClassifierMissing
from training.safety.examples import DataError


def main(words: Sequence[str]) -> int:
    """The exit status; errors are one sentence on stderr."""
    options = _parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        return {"fit": _fit, "report": _report, "leaks": _leaks}[options.command or "fit"](options)
    except (DataError, ClassifierMissing) as error:
        print(error, file=sys.stderr)  # noqa: T201
    except FileNotFoundError as error:
        print(f"{error.filename} is not there: give the folder of the data sets.", file=sys.stderr)  # noqa: T201
    except ModuleNotFoundError as error:
        print(f"The package {error.name} is missing: run `make test` once.", file=sys.stderr)  # noqa: T201
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training safety",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(data=None, out=None, keep=None, first_alone=False)
    commands = parser.add_subparsers(dest="command")
    fit = commands.add_parser("fit", help="train and ship (the default)")
    fit.add_argument("--data", type=Path, help="also learn from the training parts under here")
    fit.add_argument("--out", type=Path, help="write somewhere else than where the gate loads")
    fit.add_argument("--keep", type=Path, help="keep each epoch in this file and go on from it")
    fit.add_argument("--first-alone", action="store_true", help="without the second reader")
    report = commands.add_parser("report", help="measure the gate on every set")
    report.add_argument("data", type=Path, nargs="?", help="the folder of the evaluation sets")
    report.add_argument("--out", type=Path, default=Path("safety_report"))
    report.add_argument("--rules-alone", action="store_true")
    leaks = commands.add_parser("leaks", help="search training data for evaluation-only texts")
    leaks.add_argument("data", type=Path)
    return parser


def _fit(options: argparse.Namespace) -> int:
    import torch

    from bot.safety.big import big_folder
    from training.safety.fit import SHIPPED, fit
    from training.safety.learn import Recipes

    torch.set_num_threads(1)  # texts are short: more threads only wait for each other
    big = None if options.first_alone else big_folder()
    fit(options.data, Recipes(), _say, options.out or SHIPPED, options.keep, big)
    return 0


def _report(options: argparse.Namespace) -> int:
    from training.safety.page import render
    from training.safety.report import measure, page
    from training.safety.sets import all_sets

    gate = SafetyGate() if options.rules_alone else SafetyGate.open()
    _say(gate.health().sentence)
    results = measure(gate, all_sets(options.data), _say)
    today = datetime.now(UTC).date().isoformat()
    text = json.dumps(page(results, gate.version), indent=1)
    options.out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    html = render(results, gate.version, today)
    options.out.with_suffix(".html").write_text(html, encoding="utf-8")
    _say(f"Wrote {options.out.with_suffix('.html')} and {options.out.with_suffix('.json')}.")
    return 0


def _leaks(options: argparse.Namespace) -> int:
    from training.safety.leaks import leaks

    found = leaks(options.data)
    for leak in found:
        _say(f"{leak.alike:.2f} {leak.training} is like {leak.evaluation}")
    _say(f"{len(found)} training texts are near an evaluation-only text.")
    return 1 if found else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201
