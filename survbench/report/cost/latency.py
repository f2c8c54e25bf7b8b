"""How long a call takes: the first time, and warm."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["FEWEST", "FOR_P95", "Latency", "clock", "repeats_within", "timed"]

FEWEST = 3  # warm calls, however slow
FOR_P95 = 20  # warm calls below which a 95th percentile would be their maximum


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one call.

    Parameters
    ----------
    first : float
        The first call after the fit in its process.
    warm : tuple of float
        Each call after it.
    """

    first: float
    warm: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the warm calls."""
        return float(np.median(self.warm))

    @property
    def p95(self) -> float | None:
        """95th percentile of the warm calls; None where there are fewer than `FOR_P95`."""
        return float(np.percentile(self.warm, 95)) if len(self.warm) >= FOR_P95 else None


def clock(device: str) -> float:
    """Milliseconds of a steady clock, once the device has done what it was given."""
    if device != "cpu":
        import torch  # noqa: PLC0415

        torch.cuda.synchronize()
    return time.perf_counter() * 1e3


def repeats_within(seconds: float, one: float, most: int) -> int:
    """How many calls of `one` milliseconds fit into so many seconds: `FEWEST` to `most`."""
    return int(np.clip(seconds * 1e3 / max(one, 1e-3), FEWEST, max(FEWEST, most)))


def timed(call: Callable[[], object], *, device: str, seconds: float, repeats: int) -> Latency:
    """Latency of a call: once cold, then up to `repeats` times within `seconds`, at least 3."""
    first = _once(call, device)
    second = _once(call, device)  # tells how long a warm one takes; the first may be much slower
    count = repeats_within(seconds, second, repeats)
    return Latency(first, (second, *(_once(call, device) for _ in range(count - 1))))


def _once(call: Callable[[], object], device: str) -> float:
    begin = clock(device)
    call()
    return clock(device) - begin
