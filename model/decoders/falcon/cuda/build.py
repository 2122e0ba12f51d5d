"""From the kernels' sources to a library: nvcc, once for each state of the sources.

The library lies in a cache folder under the hash of everything it was built
from. Knows compilers and files; knows nothing of what the kernels compute.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from model.types import ModelUnavailable

SOURCES = Path(__file__).parent / "kernels"
# Bulk copies, clusters and dependent launch: Hopper's own instructions.
TARGET = "-gencode=arch=compute_90a,code=sm_90a"
FLAGS = ("-O3", "-std=c++17", TARGET, "-Xcompiler", "-fPIC", "-shared", "-cudart", "static")
TIMEOUT_S = 600


def compiler() -> str | None:
    """Where nvcc is, if it is."""
    found = shutil.which("nvcc")
    usual = Path("/usr/local/cuda/bin/nvcc")
    return found or (str(usual) if usual.is_file() else None)


def digest() -> str:
    """A hash of the sources and flags."""
    state = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in {".cu", ".cuh"}:
            state.update(path.name.encode() + b"\0" + path.read_bytes())
    return state.hexdigest()[:16]


def library(cache: Path) -> ctypes.CDLL:
    """The compiled kernels; raises ModelUnavailable with the reason."""
    path = cache / f"falcon-{digest()}.so"
    if not path.is_file():
        _compile(path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise ModelUnavailable(f"The compiled kernels in {path} do not load: {error}.") from error


def _compile(path: Path) -> None:
    nvcc = compiler()
    if nvcc is None:
        raise ModelUnavailable("There is no CUDA compiler (nvcc) on this machine.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        units = sorted(SOURCES.glob("*.cu"))
        jobs = [(unit, Path(folder) / f"{unit.stem}.o") for unit in units]
        flags = [flag for flag in FLAGS if flag != "-shared"]
        running = [
            subprocess.Popen(  # noqa: S603 - the program is the compiler
                [nvcc, *flags, "-c", "-o", str(to), str(unit)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for unit, to in jobs
        ]
        for process in running:
            said = process.communicate(timeout=TIMEOUT_S)[0]
            _check(process.returncode, said)
        built = Path(folder) / "kernels.so"
        linked = subprocess.run(  # noqa: S603 - the program is the compiler
            [nvcc, *FLAGS, "-o", str(built), *(str(to) for _, to in jobs)],
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        _check(linked.returncode, linked.stderr)
        os.replace(built, path)  # another process may have built the same


def _check(status: int, said: bytes) -> None:
    if status:
        last = said.decode(errors="replace").strip()[-300:]
        raise ModelUnavailable(f"The kernels do not compile: {last}")
