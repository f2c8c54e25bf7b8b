"""K-means centres of latents: a small set of vectors that training patients lie around."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

__all__ = ["centres"]

STARTS = 10  # the best of so many


def centres(values: NDArray[np.floating], count: int, seed: int) -> NDArray[np.float64]:
    """K-means centres (count, H) of latents (n, H); repeated in turn where n is too small.

    Zero where there are no latents. On one thread, since the order of sums must not depend on them.
    """
    values = np.asarray(values, np.float64)
    if len(values) == 0:
        return np.zeros((count, values.shape[1]))
    found = np.unique(values, axis=0)
    if len(found) > count:
        with threadpool_limits(limits=1):
            fit = KMeans(count, n_init=STARTS, random_state=seed % 2**32).fit(values)
        found = fit.cluster_centers_
    return np.asarray(found[np.arange(count) % len(found)])
