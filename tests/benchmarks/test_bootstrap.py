"""Seconds for the intervals of a whole board: 10,000 resamples of 12 methods under 3 regimes."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sksurv.metrics import concordance_index_censored

from survbench.score import bootstrap
from survbench.score.bootstrap import fold_weights
from tests.score.simulated import fold, resampled

DRAWS = 10_000
FOLDS = 5
PATIENTS = 450
ROWS = 12 * 3
LIMIT = 20.0  # seconds on two cores
CHECKED = ((0, 0), (1, 17), (DRAWS - 1, ROWS - 1))  # draws of rows, against scikit-survival


@pytest.mark.parametrize("tied", [False, True])
def test_intervals_of_a_board(benchmark: BenchmarkFixture, tied: bool) -> None:
    rows = [
        [fold(f, patients=PATIENTS // FOLDS, stream=row, tied=tied) for f in range(FOLDS)]
        for row in range(ROWS)
    ]
    drawn = benchmark.pedantic(  # type: ignore[no-untyped-call]
        bootstrap, (rows,), {"draws": DRAWS}, rounds=1
    )
    assert drawn.shape == (DRAWS, ROWS)
    for draw, row in CHECKED:
        again = [
            resampled(cell, fold_weights(cell.fold, len(cell), DRAWS)[draw]) for cell in rows[row]
        ]
        wanted = [
            concordance_index_censored(cell.event, cell.time, cell.risk, tied_tol=1e-8)[0]
            for cell in again
        ]
        assert drawn[draw, row] == pytest.approx(np.mean(wanted), abs=1e-12)
    assert benchmark.stats is not None
    assert benchmark.stats.stats.max < LIMIT
