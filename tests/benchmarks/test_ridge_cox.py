"""A path of ridge Cox fits, ours and scikit-survival's; the number in brackets is the ratio.

`pytest tests/benchmarks/test_ridge_cox.py --benchmark-only -n 0`: as many patients and components
as an inner fold of `cox` has on tcga_luad_hif.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from survbench.learn.ridge_cox import ridge_path

Array = NDArray[np.float64]

PATIENTS, COMPONENTS = 225, 290
PENALTIES = (100.0, 10.0, 1.0, 0.1)


def data() -> tuple[Array, Array, NDArray[np.bool_]]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(PATIENTS, COMPONENTS)) / np.sqrt(COMPONENTS)
    death, leaves = draw.exponential(30, (2, PATIENTS))
    return x, np.minimum(death, leaves), death <= leaves


def ours() -> Array:
    return ridge_path(*data(), PENALTIES)


def reference() -> Array:
    x, time, event = data()
    outcome = Surv.from_arrays(event, time)
    models = [CoxPHSurvivalAnalysis(alpha=alpha, ties="breslow") for alpha in PENALTIES]
    return np.stack([model.fit(x, outcome).coef_ for model in models], axis=1)


@pytest.mark.parametrize("path", [ours, reference], ids=["ours", "scikit-survival"])
def test_a_path_of_ridge_fits(benchmark: BenchmarkFixture, path: Callable[[], Array]) -> None:
    found = benchmark.pedantic(path, rounds=3)  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(found, ours(), atol=1e-4)
