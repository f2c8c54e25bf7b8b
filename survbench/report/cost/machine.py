"""What a cost was measured on: model, driver, clocks, threads, versions; no host name."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from survbench.bench.machine import hardware, versions
from survbench.report.cost.measure import Place

__all__ = ["described"]

UNKNOWN = "not known"
_MHZ, _GIB = 1000, 2**30
_QUERY = {"driver": "driver_version", "gpu_mhz": "clocks.sm", "gpu_mhz_most": "clocks.max.sm"}


def described(place: Place) -> dict[str, Any]:
    """Hardware, driver, clocks and versions; what the system does not tell is 'not known'."""
    found: dict[str, Any] = {
        "device": place.device,
        **hardware(place.device),
        "kernel": platform.release(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": place.threads,
        "memory_gib": _memory(),
        "cpu_mhz": _cpu_clock(),
        "cpu_mhz_most": _cpu_limit(),
        "dtype": "float32",
        "versions": versions(),
    }
    if place.device != "cpu":
        import torch  # noqa: PLC0415

        found |= {"cuda": torch.version.cuda or UNKNOWN, **_gpu()}
        found["tf32"] = torch.backends.cuda.matmul.allow_tf32
    return found


def _memory() -> float | str:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB, 1)
    except (OSError, ValueError):
        return UNKNOWN


def _cpu_clock() -> float | str:
    """Clock of the first core now, in MHz."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        line = next(line for line in lines if line.startswith("cpu MHz"))
        return float(line.partition(":")[2])
    return UNKNOWN


def _cpu_limit() -> float | str:
    """Highest clock that the system allows the first core, in MHz."""
    with suppress(OSError, ValueError):
        path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq")
        return int(path.read_text(encoding="ascii")) / _MHZ
    return UNKNOWN


def _gpu() -> dict[str, str]:
    """Driver and clocks of the first GPU, as its driver's own tool says."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY.values())}", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        values = told.stdout.splitlines()[0].split(",")
        return {name: value.strip() for name, value in zip(_QUERY, values, strict=True)}
    return dict.fromkeys(_QUERY, UNKNOWN)
