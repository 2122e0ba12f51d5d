"""What is shipped for operators is well formed and gives away no more than it must."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    text = (DEPLOY / "lanner.service").read_text()
    # The unit's own paths exist on an operator's machine; here others stand in for them.
    text = text.replace("/opt/lanner/.venv/bin/python", "/bin/true")
    unit = tmp_path / "lanner.service"
    unit.write_text(text.replace("/etc/lanner.env", "-/etc/lanner.env"))
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "Failed to" in run.stderr and "lanner.service" not in run.stderr:
        pytest.skip(f"systemd-analyze cannot work here: {run.stderr.splitlines()[0]}")
    assert [line for line in run.stderr.splitlines() if "lanner" in line] == []
    assert run.returncode == 0


def test_every_option_in_the_files_is_a_setting() -> None:
    from bot.settings import Settings

    known = {name.upper() for name in Settings.model_fields}
    for path in DEPLOY.iterdir():
        named = set(re.findall(r"\b(?:LANNER|TELEGRAM)_[A-Z_]+\b", path.read_text()))
        assert named <= known, path.name


def test_the_service_has_no_rights_and_a_read_only_root() -> None:
    service: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    lanner = service["lanner"]
    assert lanner["read_only"] is True
    assert lanner["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in lanner["security_opt"]
    assert not any("ports" in each for each in service.values())


def test_both_images_run_without_root_and_hold_the_pinned_torch() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    stages = {m[2]: m[1] for m in re.finditer(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)}
    assert stages["cpu"] == stages["cuda"] == "service"
    service = text.split("AS service\n")[1].split("FROM ")[0]
    assert re.search(r"^USER 10001:10001$", service, re.MULTILINE)
    pinned = re.search(r"^torch==\S+$", (DEPLOY.parents[1] / "constraints.txt").read_text(), re.M)
    assert pinned
    assert text.count(pinned[0]) == 2
