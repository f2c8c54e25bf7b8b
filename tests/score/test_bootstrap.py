from dataclasses import replace

import numpy as np
import pytest
from sksurv.metrics import concordance_index_censored

from survbench.errors import ResultError
from survbench.score import bootstrap, interval, summarise
from survbench.score.bootstrap import c_indices, compare, fold_weights, holm
from tests.score.simulated import fold, resampled


@pytest.mark.parametrize("tied", [False, True])
def test_each_draw_is_scikit_survivals_number_on_resampled_patients(tied: bool) -> None:
    rows = [
        [fold(f, seed=s, tied=tied, stream=stream) for f in (0, 1, 4) for s in (0, 7)]
        for stream in (0, 1)
    ]
    ours = bootstrap(rows, draws=8, seed=3)
    for draw in range(8):
        for position, row in enumerate(rows):
            by_fold: dict[int, list[float]] = {}
            for cell in row:
                again = resampled(cell, fold_weights(cell.fold, len(cell), 8, 3)[draw])
                score = concordance_index_censored(again.event, again.time, again.risk)[0]
                by_fold.setdefault(cell.fold, []).append(score)
            wanted = np.mean([np.mean(seeds) for seeds in by_fold.values()])
            assert ours[draw, position] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_what_is_resampled_is_the_tabulated_c_index(tied: bool) -> None:
    rows = [[fold(f, seed=s, tied=tied, stream=r) for f in (0, 2) for s in (0, 1)] for r in (0, 1)]
    wanted = [summarise(row, 12.0).c_index.value for row in rows]
    assert c_indices(rows) == pytest.approx(wanted, abs=1e-12)


def test_a_row_that_leaves_patients_out_is_resampled_with_the_same_draw() -> None:
    whole = fold(0, tied=True)
    kept = np.arange(len(whole)) % 3 > 0
    part = replace(
        whole,
        case_id=whole.case_id[kept],
        time=whole.time[kept],
        event=whole.event[kept],
        risk=whole.risk[kept],
    )
    weights = fold_weights(0, len(whole), 5)
    ours = bootstrap([[whole], [part]], draws=5)
    for draw in range(5):
        again = resampled(part, weights[draw][kept])
        wanted = concordance_index_censored(again.event, again.time, again.risk)[0]
        assert ours[draw, 1] == pytest.approx(wanted, abs=1e-12)


def test_the_draw_does_not_depend_on_the_other_rows_or_on_the_order_of_patients() -> None:
    row, other = [fold(0), fold(1)], [fold(0, stream=5), fold(1, stream=5)]
    alone = bootstrap([row], draws=20)[:, 0]
    assert np.array_equal(alone, bootstrap([other, row], draws=20)[:, 1])
    back = [
        replace(
            c, case_id=c.case_id[::-1], time=c.time[::-1], event=c.event[::-1], risk=c.risk[::-1]
        )
        for c in row
    ]
    assert np.array_equal(alone, bootstrap([back], draws=20)[:, 0])


def test_an_identical_row_never_differs_from_its_reference() -> None:
    row = [fold(0), fold(1)]
    draws = bootstrap([row, row], draws=50)
    assert np.array_equal(draws[:, 0], draws[:, 1])
    same = compare(draws[:, :1], draws[:, 1], np.zeros(1))[0]
    assert same.p_value == 1.0
    assert (same.low, same.high) == (0.0, 0.0)


def test_draws_without_a_pair_are_undefined_and_too_many_leave_no_interval() -> None:
    two = fold(0, patients=2)
    two = replace(two, time=np.array([1.0, 2.0]), event=np.array([True, False]))
    draws = bootstrap([[two]], draws=400)[:, 0]
    # a pair is left when both are drawn: half of the draws of two out of two
    assert np.isnan(draws).mean() == pytest.approx(0.5, abs=0.1)
    assert np.isnan(interval(np.array([0.5, np.nan, np.nan]))).all()


def test_interval_is_of_percentiles() -> None:
    assert interval(np.linspace(0, 1, 101)) == pytest.approx((0.025, 0.975))


def test_a_patient_with_two_outcomes_is_refused() -> None:
    cell = fold(0)
    other = replace(cell, time=cell.time + (np.arange(len(cell)) == 4))
    with pytest.raises(ResultError, match="case-0-0004"):
        bootstrap([[cell], [other]], draws=2)


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.04 -> times 3, 2, 1 -> 0.03, 0.04, 0.04
    assert holm(np.array([0.02, 0.04, 0.01])) == pytest.approx([0.04, 0.04, 0.03])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
