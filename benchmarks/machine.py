"""What this machine can do at most, measured in the same run as everything that is compared with it."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.clock import time_runs

GEMM_SIDES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
SMALLEST_COPY_BYTES = 4 * 2**20
LARGEST_COPY_BYTES = {"cpu": 256 * 2**20, "cuda": 2**30}


@dataclass
class Machine:
    """Peak rates of a device; each is measured when it is first asked for.

    Attributes:
        device: Where the model runs.
        repeats: Runs of each measurement, the best of which counts.
    """

    device: torch.device
    repeats: int = 5
    _flops_per_s: dict[torch.dtype, float] = field(default_factory=dict)
    _bytes_per_s: dict[int, float] = field(default_factory=dict)

    def flops_per_s(self, dtype: torch.dtype) -> float:
        """Return the highest rate of a square matrix product, two operations a multiply-add."""
        if dtype not in self._flops_per_s:
            sides = GEMM_SIDES[self.device.type]
            self._flops_per_s[dtype] = max(self._gemm_rate(side, dtype) for side in sides)
        return self._flops_per_s[dtype]

    def bytes_per_s(self, working_set_bytes: int) -> float:
        """Return the rate, read plus written, of a copy that touches as many bytes in all.

        What fits a cache is copied within it, so a small stage is not held against the main memory.
        """
        size = max(working_set_bytes, SMALLEST_COPY_BYTES)
        size = min(1 << (size - 1).bit_length(), LARGEST_COPY_BYTES[self.device.type])
        if size not in self._bytes_per_s:
            self._bytes_per_s[size] = self._copy_rate(size)
        return self._bytes_per_s[size]

    def to_json(self) -> dict[str, Any]:
        """Return the device, what it runs on and the rates that were measured."""
        return {
            "device": str(self.device),
            "name": device_name(self.device),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "gemm_gflops_per_s": {dtype_name(key): rate / 1e9 for key, rate in self._flops_per_s.items()},
            "copy_gb_per_s": {f"{key // 2**20} MiB": rate / 1e9 for key, rate in self._bytes_per_s.items()},
        }

    def _gemm_rate(self, side: int, dtype: torch.dtype) -> float:
        left = torch.randn(side, side, device=self.device).to(dtype)
        right = torch.randn(side, side, device=self.device).to(dtype)
        times = time_runs(lambda: left @ right, repeats=self.repeats, device=self.device)
        return 2 * side**3 / min(times.seconds)

    def _copy_rate(self, size_bytes: int) -> float:
        source = torch.ones(size_bytes // 2, dtype=torch.uint8, device=self.device)
        target = torch.zeros_like(source)
        times = time_runs(lambda: target.copy_(source), repeats=self.repeats, device=self.device)
        return size_bytes / min(times.seconds)


def dtype_name(dtype: torch.dtype) -> str:
    """Return "float32" for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def device_name(device: torch.device) -> str:
    """Return the name of the processor or graphics card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
