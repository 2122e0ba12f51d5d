"""The adapter that comes with Lanner is whole, judged, small, and made for the demo model."""

from __future__ import annotations

import json

from model import adapters
from model.demo import HUB_ID

FOLDER = adapters.SHIPPED / adapters.FOR_DEMO


def test_it_is_made_for_the_demo_model_and_was_judged_fit_to_be_used() -> None:
    info = adapters.named(adapters.SHIPPED, adapters.FOR_DEMO)
    adapters.check_base(info, HUB_ID)
    adapters.check_files(info)
    adapters.check_verdict(info, force=False)
    assert info.verdict == "go"


def test_its_manifest_and_report_speak_of_these_very_weights() -> None:
    info = adapters.named(adapters.SHIPPED, adapters.FOR_DEMO)
    manifest = json.loads((FOLDER / "manifest.json").read_text("utf-8"))
    report = json.loads((FOLDER / "report.json").read_text("utf-8"))
    assert manifest["adapter_sha256"] == report["adapter_sha256"] == info.sha256
    assert {"corpus", "helios172", "counsel_chat"} <= {
        source["path"] for source in manifest["recipe"]["data"]["sources"]
    }


def test_it_is_small_enough_to_travel_with_the_code() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10 << 20
