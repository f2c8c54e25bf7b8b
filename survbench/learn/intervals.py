"""Discrete time: interval edges from the training deaths, and the interval of each patient."""

import numpy as np
from numpy.typing import NDArray

from survbench.errors import InputError

__all__ = ["label", "time_edges"]


def time_edges(
    time: NDArray[np.float64], event: NDArray[np.bool_], intervals: int = 4
) -> NDArray[np.float64]:
    """Edges (K+1,) in the unit of `time`: 0, the quantiles of the deaths between, infinity.

    Only training patients belong here. Quantiles interpolate linearly, as pandas' qcut does; equal
    ones (first and last included) become one edge, so that K may be smaller than `intervals`.

    Parameters
    ----------
    time
        (N,), time of death or censoring of the training patients.
    event
        (N,), True where the death was seen.
    intervals
        Number of intervals, each with the same share of the deaths.

    Raises
    ------
    InputError
        If `intervals` is below 1, no death was seen, or a time of death is not finite and positive.
    """
    if intervals < 1:
        msg = f"intervals is {intervals}; it must be at least 1"
        raise InputError(msg)
    died = np.asarray(time, dtype=np.float64)[np.asarray(event, dtype=bool)]
    if len(died) == 0:
        msg = (
            f"none of the {len(time)} training patients has a death (event = True), "
            "so no time intervals can be made; train on a fold with deaths"
        )
        raise InputError(msg)
    wrong = ~(np.isfinite(died) & (died > 0))
    if wrong.any():
        msg = f"time of death {died[wrong][0]} in training; times must be finite and above 0"
        raise InputError(msg)
    quantiles = np.unique(np.quantile(died, np.linspace(0, 1, intervals + 1)))
    return np.concatenate([[0.0], quantiles[1:-1], [np.inf]])


def label(time: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Interval (N,), 0..K-1, of each time (N,): edges[k] <= time < edges[k+1]."""
    return np.searchsorted(edges[1:-1], time, side="right").astype(np.int64)
