from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from survbench.errors import ResultError
from survbench.score import bootstrap, interval, summarise
from survbench.score.contrast import COMPARATOR, Contrast, contrasts, patients_needed
from survbench.score.predictions import FoldPredictions
from tests.score.simulated import fold


def row(stream: int, *, noise: float = 0.0, seeds: int = 1) -> list[FoldPredictions]:
    """Three folds, predicted with some noise of this stream."""
    cells = []
    for number in range(3):
        for seed in range(seeds):
            cell = fold(number, seed=seed)
            draw = np.random.default_rng([stream, number, seed])
            cells.append(replace(cell, risk=cell.risk + noise * draw.normal(size=len(cell))))
    return cells


def test_the_three_differences_are_of_the_tabulated_c_index_with_the_bootstraps_draws() -> None:
    complete, missing, floor = row(0, seeds=2), row(1, noise=2, seeds=2), row(2, noise=1)
    (made,) = contrasts([(complete, missing, floor)], draws=200)
    c, m, f = (summarise(cells, 12.0).c_index.value for cells in (complete, missing, floor))
    wanted = {"added value": c - f, "loss": c - m, "rescue": m - f}
    assert {one.name: one.difference for one in made} == pytest.approx(wanted, abs=1e-12)
    drawn = bootstrap([complete, missing, floor], draws=200)
    bounds = [interval(drawn[:, a] - drawn[:, b]) for a, b in ((0, 2), (0, 1), (1, 2))]
    assert [(one.low, one.high) for one in made] == bounds
    assert made[0].difference == pytest.approx(made[1].difference + made[2].difference, abs=1e-12)


def test_settings_told_together_are_told_as_each_alone() -> None:
    floor = row(2, noise=1)
    asked = [(row(0), row(1, noise=2), floor), (row(3), row(4, noise=1), floor)]
    assert contrasts(asked, draws=50) == [contrasts([each], draws=50)[0] for each in asked]
    assert contrasts([]) == []


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.05, "shown"),
        (-0.01, 0.05, "not shown"),
        (0.0, 0.05, "not shown"),
        (-0.05, -0.01, "opposite"),
        (float("nan"), float("nan"), "not shown"),
    ],
)
def test_a_rescue_whose_interval_covers_0_is_not_shown(
    low: float, high: float, verdict: str
) -> None:
    assert Contrast("rescue", 0.02, low, high, ()).verdict == verdict


def test_a_method_that_is_its_comparator_rescues_nothing() -> None:
    complete, floor = row(0), row(1, noise=2)
    ((added, loss, rescue),) = contrasts([(complete, floor, floor)], draws=100)
    assert (rescue.difference, rescue.low, rescue.high) == (0, 0, 0)
    assert rescue.verdict == "not shown"
    assert added.difference == loss.difference
    assert loss.verdict == "shown"  # noise of twice the signal
    assert [one.patients.reason for one in rescue.needed] == ["the two rows never differ"] * 2


def test_the_comparator_reads_the_modality_that_is_left() -> None:
    assert dict(COMPARATOR) == {"P": ("cox", "use=G"), "G": ("cox", "use=P")}


def test_patients_needed_by_hand() -> None:
    # variance 0.0004 of 100 patients, 30 of whom died: (1.96 + 0.84)^2 = 7.849 standard errors^2
    drawn = np.array([0.3 - 0.02, 0.3 + 0.02])
    needed = patients_needed(drawn, 100, 30, 0.05)
    assert needed.patients.value == np.ceil(100 * 0.0004 * 7.848880 / 0.0025) == 126
    assert needed.events.value == np.ceil(126 * 0.3) == 38
    assert patients_needed(drawn, 100, 30, 0.02).patients.value == 785


def test_the_observed_difference_does_not_matter_for_the_power() -> None:
    drawn = np.random.default_rng(0).normal(0.0, 0.02, 500)
    shifted = patients_needed(drawn + 0.3, 200, 80, 0.05)
    assert shifted == patients_needed(drawn, 200, 80, 0.05)


def test_a_test_on_as_many_patients_finds_the_difference_with_80_percent() -> None:
    drawn = np.random.default_rng(1).normal(0.1, 0.03, 100_000)
    needed = patients_needed(drawn, 200, 80, 0.05).patients.value
    error = 0.03 * np.sqrt(200 / needed)
    tests = np.abs(np.random.default_rng(2).normal(0.05, error, 100_000)) > norm.ppf(0.975) * error
    assert tests.mean() == pytest.approx(0.8, abs=0.01)


def test_the_variance_of_a_difference_falls_as_one_over_the_patients() -> None:
    def times_patients(patients: int) -> float:
        spreads = []
        for number in range(8):
            one, other = (fold(number, patients=patients, stream=s) for s in (0, 1))
            drawn = bootstrap([[one], [other]], draws=200)
            spreads.append(np.var(drawn[:, 0] - drawn[:, 1]) * patients)
        return float(np.mean(spreads))

    assert times_patients(180) == pytest.approx(times_patients(60), rel=0.25)


def test_too_few_defined_draws_give_no_number_of_patients() -> None:
    drawn = np.array([0.1, np.nan, np.nan])
    assert "undefined" in patients_needed(drawn, 100, 30, 0.05).patients.reason


def test_rows_of_other_folds_or_patients_are_refused() -> None:
    whole = row(0)
    with pytest.raises(ResultError, match="different folds"):
        contrasts([(whole, whole, whole[:2])], draws=2)
    cell = whole[1]
    fewer = replace(
        cell, case_id=cell.case_id[1:], time=cell.time[1:], event=cell.event[1:], risk=cell.risk[1:]
    )
    with pytest.raises(ResultError, match=r"fold 1, seed 0: .* see 'case-1-0000'"):
        contrasts([(whole, [whole[0], fewer, whole[2]], whole)], draws=2)


def test_one_fold_is_enough() -> None:
    rows = (row(0)[:1], row(1, noise=1)[:1], row(2, noise=1)[:1])
    (made,) = contrasts([rows], draws=50)
    assert all(np.isfinite([one.difference, one.low, one.high]).all() for one in made)
