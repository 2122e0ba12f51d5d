"""What an operator copies from docs/deploy works, as far as this machine can tell."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bot.settings import Settings

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
OPTIONS = {name.upper() for name in Settings.model_fields}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_is_valid(tmp_path: Path) -> None:
    unit = (DEPLOY / "lanner.service").read_text()
    # What the unit names is not on this machine.
    here = unit.replace("/opt/lanner/.venv/bin/python", sys.executable)
    (tmp_path / "lanner.service").write_text(here)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "lanner.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    about_it = [line for line in found.stderr.splitlines() if "lanner" in line]
    assert found.returncode == 0, about_it
    assert about_it == []


@pytest.mark.parametrize("name", ["lanner.service", "compose.yaml", "Dockerfile"])
def test_every_option_that_is_set_exists(name: str) -> None:
    named = set(re.findall(r"\b(?:LANNER|TELEGRAM)_[A-Z_]+\b", (DEPLOY / name).read_text()))
    assert named
    assert named <= OPTIONS


def test_the_containers_run_without_rights_on_a_file_system_that_cannot_be_written() -> None:
    lanner = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["lanner"]
    assert lanner["read_only"] is True
    assert lanner["cap_drop"] == ["ALL"]
    assert "ports" not in lanner
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER 10001", dockerfile, re.M)
    for target in ("cpu", "cuda"):
        assert re.search(rf"^FROM service AS {target}$", dockerfile, re.M)
        assert f"target {target}" in dockerfile
