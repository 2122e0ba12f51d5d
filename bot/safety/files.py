"""Where the reviewed data files of this package are. Knows nothing of their content."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

# The same language, more than twice as fast, where PyYAML was built with libyaml.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def data_text(name: str) -> str:
    """The text of a file in bot/safety/data."""
    return (files("bot.safety") / "data" / name).read_text(encoding="utf-8")


def data_page(name: str) -> Any:
    """What a YAML file in bot/safety/data holds."""
    loader: Any = _SafeLoader(data_text(name))
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def rule_files() -> tuple[str, ...]:
    """Names, under data, of all rule files, in a fixed order."""
    folder = files("bot.safety") / "data" / "rules"
    return tuple(sorted(f"rules/{f.name}" for f in folder.iterdir() if f.name.endswith(".yaml")))
