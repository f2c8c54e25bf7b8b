"""What a fit ran on: threads, hardware model, package versions, time and memory; no host name."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import survbench
from survbench.registry import package_of

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_PACKAGES = ("numpy", "scipy", "pandas", "torch", "scikit-survival", "safetensors", "h5py")
_PACKAGE_ROOT = Path(survbench.__file__).parent.parent
_ABSOLUTE = re.compile(r"(?<![\w./:])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\"<>|:]+[/\\])+")
_KIB = 1024
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's mallopt, malloc.h


def set_threads(threads: int) -> None:
    """Let every numerical library of this process use so many threads."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    import torch  # noqa: PLC0415  (reads the variables when it is loaded)

    torch.set_num_threads(threads)


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees; False where the C library is not glibc.

    A training step frees and takes the same large blocks again and again. Left alone, glibc gives
    each back to the system and asks for it anew, and the system clears every page of it: up to a
    third of the time of a fit on large bags.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: Windows
        return False
    options = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 64 * _KIB**2))
    taken = [mallopt(*option) for option in options]
    return all(taken)


def hardware(device: str) -> dict[str, Any]:
    """Model of the processor, and of the GPU where one is used."""
    found: dict[str, Any] = {"cpu": _cpu_model(), "system": platform.system()}
    if device != "cpu":
        import torch  # noqa: PLC0415

        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions(method: str = "") -> dict[str, str]:
    """Versions of survbench, Python and what decides numbers, a method's own package among it."""
    found = {"survbench": survbench.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | dict(filter(None, [package_of(method)]))


@dataclass
class Spent:
    """What a block of code took."""

    seconds: float = 0.0
    peak_memory_mib: float | None = None
    peak_gpu_memory_mib: float | None = None


@contextmanager
def spending(device: str) -> Iterator[Spent]:
    """Measure wall time and peak memory of a block; the numbers are there after it."""
    spent, begin = Spent(), time.perf_counter()
    _reset_peak(device)
    try:
        yield spent
    finally:
        spent.seconds = round(time.perf_counter() - begin, 3)
        spent.peak_memory_mib = round(_peak_memory() / _KIB, 1)
        if device != "cpu":
            import torch  # noqa: PLC0415

            spent.peak_gpu_memory_mib = round(torch.cuda.max_memory_allocated() / _KIB**2, 1)


def told(error: BaseException) -> dict[str, Any]:
    """What failed.json keeps of an error: no absolute path, no host name."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": _anonymous(f"{type(error).__name__}: {error}"),
        "traceback": [
            f"{_relative(frame.filename)}:{frame.lineno} in {frame.name}: {frame.line}"
            for frame in frames
        ],
    }


def _relative(filename: str) -> str:
    """File of a frame, relative to the package, or to where its own package is installed."""
    path = Path(filename)
    if path.is_relative_to(_PACKAGE_ROOT):
        return path.relative_to(_PACKAGE_ROOT).as_posix()
    for parent in path.parents:
        if parent.name in ("site-packages", "dist-packages"):
            return path.relative_to(parent).as_posix()
    return path.name


def _anonymous(text: str) -> str:
    """Text with folders of absolute paths and the host name taken out."""
    text = _ABSOLUTE.sub(".../", text)
    return re.sub(rf"\b{re.escape(socket.gethostname())}\b", "host", text)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _reset_peak(device: str) -> None:
    """Start the peak anew, so that a worker's second cell does not show its first one's."""
    with suppress(AttributeError, OSError, TypeError):  # no glibc: nothing is kept
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # the peak is then that of the process
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if device != "cpu":
        import torch  # noqa: PLC0415

        torch.cuda.reset_peak_memory_stats()


def resident_mib() -> float:
    """Memory that this process holds now; its peak where the system does not tell."""
    now = _status("VmRSS")
    return (_peak_memory() if now is None else now) / _KIB


def _status(entry: str) -> float | None:
    """An entry of this process' status in KiB, on Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return float(next(line for line in lines if line.startswith(entry)).split()[1])
    except (OSError, StopIteration):
        return None


def _peak_memory() -> float:
    """Peak resident memory in KiB."""
    peak = _status("VmHWM")
    if peak is None:
        peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        peak = peak / _KIB if sys.platform == "darwin" else peak
    return peak
