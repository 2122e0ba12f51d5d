"""What this machine has: free memory, speed, energy. Knows no models."""

from __future__ import annotations

import time

import torch


def free_memory() -> int:
    """Bytes that programs may still take, on Linux from /proc, elsewhere a guess of 4 GB."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4_000_000_000


def speed(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Operations a second of a matrix product of the size that layers have; measured now."""
    large = device.type == "cuda"
    rows, width = (8192, 4096) if large else (1024, 576)
    a = torch.randn(rows, width, device=device, dtype=dtype)
    b = torch.randn(width, width, device=device, dtype=dtype)
    for _ in range(3):
        a @ b
    _wait(device)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            a @ b
        _wait(device)
        done += 10
    return 2.0 * rows * width * width * done / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Energy:
    """Joules that the GPU has used since this was made; None where it does not tell."""

    def __init__(self, device: torch.device) -> None:
        self._handle = None
        if device.type == "cuda":
            try:
                import pynvml  # type: ignore[import-not-found,unused-ignore]

                pynvml.nvmlInit()
                self._nvml = pynvml
                self._handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
                self._began = self._read()
            except Exception:  # the library raises its own kinds; energy is a courtesy
                self._handle = None

    def joules(self) -> float | None:
        """Used until now."""
        return None if self._handle is None else (self._read() - self._began) / 1000

    def _read(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
