"""Where rows come from: shipped sets, jsonl, csv, parquet, folders, hub ids.

Knows files; knows nothing of what a row means.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from training.errors import DataError
from training.recipe import Source

SHIPPED = {
    "helios172": ("training", "data/helios172/train.jsonl"),
    "counsel_chat": ("training", "data/counsel_chat/train.jsonl"),
}
CORPUS = "corpus"
KINDS = (".jsonl", ".json", ".csv", ".parquet")


def shipped_files(name: str) -> list[Path]:
    """The files of a set that comes with Lanner; none when it is not there."""
    if name == CORPUS:
        folder = Path(str(files("training") / "corpus"))
        return sorted(folder.glob("dialogues*.jsonl"))
    package, at = SHIPPED[name]
    return [Path(str(files(package) / at))]


def is_shipped(name: str) -> bool:
    """Whether the name is of a set that comes with Lanner."""
    return name == CORPUS or name in SHIPPED


def read(source: Source) -> list[tuple[str, dict[str, Any]]]:
    """(row's id, row) of everything in a source; raises DataError.

    The corpus that is not there yet gives no rows: the caller says so.
    """
    if is_shipped(source.path):
        return [row for path in shipped_files(source.path) for row in read_file(path)]
    path = Path(source.path)
    if path.is_dir():
        found = [one for one in sorted(path.iterdir()) if one.suffix in KINDS]
        if not found:
            raise DataError(f"The folder {path} holds no .jsonl, .csv or .parquet file.")
        return [row for one in found for row in read_file(one)]
    if path.is_file():
        return list(read_file(path))
    if path.suffix in KINDS or not re.fullmatch(r"[\w.-]+/[\w.-]+", source.path):
        known = ", ".join([*SHIPPED, CORPUS])
        raise DataError(
            f"There is no data at {source.path}: name a file, a folder, a hub id or one of {known}."
        )
    return _hub(source)


def read_file(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(row's id, row) of one file; raises DataError."""
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is no .jsonl, .json, .csv or .parquet file.")
    try:
        for number, row in enumerate(reader(path)):
            if not isinstance(row, dict):
                raise DataError(f"{path}, row {number}: a row must be an object with named fields.")
            yield str(row.get("id", number)), row
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: save it as UTF-8.") from error


def _jsonl(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise DataError(f"{path}, line {number}, is no JSON: {error}.") from error


def _json(path: Path) -> Iterable[Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}.") from error
    rows = found.get("data") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise DataError(f"{path} must hold a list of rows.")
    return rows


def _csv(path: Path) -> Iterator[Any]:
    csv.field_size_limit(10_000_000)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines)


def _parquet(path: Path) -> Iterable[Any]:
    import pyarrow
    from pyarrow import parquet

    try:
        rows: list[Any] = parquet.read_table(path).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} is no parquet file.") from error
    return rows


def _hub(source: Source) -> list[tuple[str, dict[str, Any]]]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError("A hub id needs `pip install -e '.[training]'`.") from error
    try:
        rows = load_dataset(source.path, split=source.split)
    except Exception as error:  # the hub's client raises many kinds
        raise DataError(
            f"The dataset {source.path} (split {source.split}) could not be fetched: check the "
            "network, the name and the split, or name a local file."
        ) from error
    return [(str(number), dict(row)) for number, row in enumerate(rows)]
