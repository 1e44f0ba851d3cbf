"""What the numbers of a process depend on beside its task: machine, device, threads and versions."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path

import torch

from pretrieve import __version__


def made_with() -> dict[str, str]:
    """Name what this process computes with, by name."""
    return {
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu_name(),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pretrieve": __version__,
    }


def _cpu_name() -> str:
    """Return the processor's name, or CPU if the system does not give it."""
    with suppress(OSError):  # systems other than Linux have no such file
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "CPU"
