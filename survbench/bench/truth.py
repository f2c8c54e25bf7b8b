"""Rows that only a simulated cohort has: what nobody can beat, and what a ridge Cox could reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from survbench.cohort import Cohort
from survbench.cohort.truth import attainable_risk, oracle_risk

VERSION = 1


def _oracle(train: Cohort, test: Cohort) -> NDArray[np.float64]:
    del train
    return oracle_risk(test)


TRUTH: Mapping[str, Callable[[Cohort, Cohort], NDArray[np.float64]]] = {
    "oracle": _oracle,
    "attainable": attainable_risk,
}
