"""Sampling weights that draw every (interval, censoring) class equally often."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["balanced_weights"]


def balanced_weights(interval: NDArray[np.int64], event: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weight (N,) of each patient: N over the number of patients in their class.

    The class is 2 * interval + censored; classes nobody is in take no part.
    """
    stratum = 2 * np.asarray(interval, dtype=np.int64) + ~np.asarray(event, dtype=bool)
    count = np.bincount(stratum)
    weight: NDArray[np.float64] = len(stratum) / count[stratum]
    return weight
