"""Where the reviewed data files of this package are. Knows nothing of their content."""

from __future__ import annotations

from importlib.resources import files


def data_text(name: str) -> str:
    """The text of a file in bot/safety/data."""
    return (files("bot.safety") / "data" / name).read_text(encoding="utf-8")


def rule_files() -> tuple[str, ...]:
    """Names, under data, of all rule files, in a fixed order."""
    folder = files("bot.safety") / "data" / "rules"
    return tuple(sorted(f"rules/{f.name}" for f in folder.iterdir() if f.name.endswith(".yaml")))
