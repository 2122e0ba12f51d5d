"""A model card from the manifest, and an upload to the hub when told to.

Shows by default and sends nothing. Knows the adapter's folder and the hub's
client; judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.adapter import CONFIG, MANIFEST, WEIGHTS, read_json, sha256
from training.errors import TrainingError

Say = Callable[[str], None]
FILES = (CONFIG, WEIGHTS, MANIFEST, "report.html", "report.json", "loss.png")


def publish(adapter: Path, repo: str, say: Say, *, upload: bool = False) -> str:
    """The card; sent with the adapter's files only when `upload`. Raises TrainingError."""
    manifest = read_json(adapter / MANIFEST)
    if sha256(adapter / WEIGHTS) != manifest["adapter_sha256"]:
        raise TrainingError("The weights are not those of the manifest: train again.")
    text = card(manifest)
    files = [name for name in FILES if (adapter / name).is_file()]
    if manifest.get("verdict") != "go":
        say(f"Mind: the verdict is {manifest.get('verdict') or 'not given yet (run compare)'}.")
    if not upload:
        say(text)
        for name in ["README.md", *files]:
            size = len(text.encode()) if name == "README.md" else (adapter / name).stat().st_size
            say(f"would send {name}, {size:,} bytes, to {repo}")
        say("Nothing was sent: add --upload to send it.")
        return text
    if manifest.get("verdict") != "go":
        raise TrainingError("Only an adapter with the verdict go is published.")
    _send(adapter, files, text, repo)
    say(f"Sent to {repo}.")
    return text


def _send(adapter: Path, files: list[str], text: str, repo: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    hub = HfApi()
    try:
        hub.create_repo(repo, exist_ok=True)
        hub.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=repo)
        hub.upload_folder(repo_id=repo, folder_path=str(adapter), allow_patterns=files)
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        raise TrainingError(
            f"The hub did not take it ({type(error).__name__}): log in with `hf auth login` and "
            "check the name and the network."
        ) from error


def card(manifest: dict[str, Any]) -> str:
    """README.md of the hub's page."""
    recipe, data, run = manifest["recipe"], manifest["data"], manifest["run"]
    kept = ", ".join(f"{name} ({count})" for name, count in data["kept"].items())
    reasons = "\n".join(f"- {one}" for one in manifest.get("reasons", []))
    return f"""---
base_model: {manifest["base"]["name"]}
library_name: peft
tags: [lora, lanner]
---
# {manifest["name"]}

A LoRA adapter (rank {recipe["lora"]["rank"]}) for {manifest["base"]["name"]}, made with Lanner's
training for a listening companion. It is not a therapist, gives no diagnosis and no treatment, and
must run behind a safety gate that answers crisis messages with fixed, reviewed text.

Verdict: **{manifest.get("verdict") or "not compared yet"}**
{reasons}

- taught: {data["taught_examples"]} replies from {kept}; held out: {data["held_out_examples"]}
- steps: {run["steps"]} of {recipe["fit"]["batch"]} sequences, kept step {run["best_step"]}
- weights' sha256: `{manifest["adapter_sha256"]}`

`report.html` compares base and adapter; `manifest.json` holds recipe, data hash, versions and
machine.
"""
