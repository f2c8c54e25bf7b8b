from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from sksurv.metrics import concordance_index_censored

from survbench.errors import ResultError
from survbench.score import bootstrap, interval
from survbench.score.degradation import degradation
from survbench.score.predictions import FoldPredictions
from survbench.streams import uniform
from tests.score.simulated import fold


def c_index(cell: FoldPredictions, risk: np.ndarray) -> float:
    return float(concordance_index_censored(cell.event, cell.time, risk, tied_tol=1e-8)[0])


def first(cell: FoldPredictions, count: int) -> FoldPredictions:
    """The first patients of a fold."""
    names = ("case_id", "time", "event", "risk")
    return replace(cell, **{name: getattr(cell, name)[:count] for name in names})


def without(cell: FoldPredictions, stream: int, *, tied: bool = False) -> FoldPredictions:
    """The same patients, predicted otherwise."""
    other = fold(cell.fold, seed=cell.seed, stream=stream, tied=tied)
    return replace(cell, risk=other.risk[: len(cell)])


@pytest.mark.parametrize("tied", [False, True])
def test_the_curve_is_the_mean_over_all_masks(tied: bool) -> None:
    whole = first(fold(0, tied=tied), 7)
    lacking = without(whole, 3, tied=tied)
    for share in (0.0, 0.3, 1.0):
        wanted = 0.0
        for mask in product((False, True), repeat=7):
            risk = np.where(mask, lacking.risk, whole.risk)
            wanted += share ** sum(mask) * (1 - share) ** (7 - sum(mask)) * c_index(whole, risk)
        curve = degradation([whole], [lacking], share=np.array([share]), draws=2)
        assert curve.c_index[0] == pytest.approx(wanted, abs=1e-12)


def test_hashed_masks_agree_within_three_monte_carlo_errors() -> None:
    whole, lacking = fold(0), without(fold(0), 3)
    drawn = []
    for mask_seed in range(300):
        u = np.array([uniform(mask_seed, "P", case) for case in whole.case_id])
        drawn.append(c_index(whole, np.where(u < 0.4, lacking.risk, whole.risk)))
    curve = degradation([whole], [lacking], share=np.array([0.4]), draws=2)
    assert abs(np.mean(drawn) - curve.c_index[0]) < 3 * np.std(drawn, ddof=1) / 300**0.5


def test_its_ends_are_the_two_regimes_with_their_intervals() -> None:
    whole = [fold(f, seed=s) for f in (0, 1) for s in (0, 1)]
    lacking = [without(cell, 3) for cell in whole]
    shuffled = [
        replace(cell, **{n: getattr(cell, n)[::-1] for n in ("case_id", "time", "event", "risk")})
        for cell in lacking
    ]
    curve = degradation(whole, shuffled, share=np.array([0.0, 1.0]), draws=50)
    statistic = bootstrap([whole, lacking], draws=50)
    for end, cells in enumerate((whole, lacking)):
        wanted = np.mean([c_index(cell, cell.risk) for cell in cells])
        assert curve.c_index[end] == pytest.approx(wanted, abs=1e-12)
        low, high = interval(statistic[:, end])
        assert (curve.low[end], curve.high[end]) == pytest.approx((low, high), abs=1e-12)


def test_regimes_of_other_fits_or_patients_are_refused() -> None:
    whole = fold(0)
    with pytest.raises(ResultError, match="different folds or seeds"):
        degradation([whole], [without(fold(1), 3)])
    with pytest.raises(ResultError, match="fold 0, seed 0: the two regimes predict different"):
        degradation([whole], [first(without(whole, 3), 5)])
