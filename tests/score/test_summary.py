from dataclasses import replace

import numpy as np
import pytest

from survbench.errors import ResultError
from survbench.score import summarise
from survbench.score.concordance import harrell
from survbench.score.groups import high_risk
from survbench.score.logrank import hazard_ratio, pooled, stratified_p
from tests.score.simulated import fold


def test_the_mean_is_over_folds_of_the_mean_over_seeds() -> None:
    cells = [fold(f, seed=s) for f in range(3) for s in (0, 1)]
    summary = summarise(cells, 20.0)
    each = np.array([harrell(c.time, c.event, c.risk).value for c in cells]).reshape(3, 2)
    assert summary.c_index.value == pytest.approx(each.mean(axis=1).mean(), abs=1e-12)
    assert summary.c_index_std == pytest.approx(each.mean(axis=1).std(ddof=0), abs=1e-12)
    assert summary.c_index_seed_std == pytest.approx(each.mean(axis=0).std(ddof=0), abs=1e-12)
    assert (summary.folds, summary.seeds, summary.n) == ((0, 1, 2), (0, 1), 180)
    assert summary.events == sum(int(c.event.sum()) for c in cells if c.seed == 0)
    assert 0 < summary.ibs.value < 0.4


def test_only_pairs_within_a_fold_are_compared() -> None:
    cells = [fold(f) for f in range(3)]
    shifted = [replace(c, risk=c.risk + 100 * c.fold) for c in cells]
    assert summarise(shifted, 20.0).c_index.value == summarise(cells, 20.0).c_index.value
    assert summarise(shifted, 20.0).logrank_p == summarise(cells, 20.0).logrank_p


def test_pooled_log_rank_cuts_each_fold_at_its_own_median() -> None:
    cells = [fold(f) for f in range(3)]
    high = np.concatenate([high_risk(c.risk) for c in cells])
    time, event = (np.concatenate([getattr(c, k) for c in cells]) for k in ("time", "event"))
    assert summarise(cells, 20.0).logrank_p == pooled(time, event, high)


def test_both_cuts_have_a_hazard_ratio_and_a_stratified_p() -> None:
    cells = [replace(fold(f), train_median_risk=0.2 * f) for f in range(3)]
    summary = summarise(cells, 20.0)
    time, event = (np.concatenate([getattr(c, k) for c in cells]) for k in ("time", "event"))
    stratum = np.repeat([0, 1, 2], 60)
    test = np.concatenate([c.risk > np.median(c.risk) for c in cells])
    train = np.concatenate([c.risk > 0.2 * c.fold for c in cells])
    assert (test != train).any()
    assert summary.hazard_ratio == hazard_ratio(time, event, test, stratum)
    assert summary.logrank_p_stratified == stratified_p(time, event, test, stratum)
    assert summary.deployable_hazard_ratio == hazard_ratio(time, event, train, stratum)
    assert summary.deployable_p == stratified_p(time, event, train, stratum)


def test_hazard_ratios_are_medians_over_seeds() -> None:
    cells = [fold(f, seed=s) for f in range(3) for s in range(3)]
    each = [summarise([c for c in cells if c.seed == s], 20.0).hazard_ratio for s in range(3)]
    ours = summarise(cells, 20.0).hazard_ratio
    assert ours.value == np.median([one.value for one in each])
    assert (ours.low, ours.high) == tuple(np.median([(one.low, one.high) for one in each], axis=0))


def test_a_record_without_the_training_median_says_that_nothing_could_be_deployed() -> None:
    summary = summarise([fold(0), replace(fold(1), train_median_risk=0.0)], 20.0)
    for number in (summary.deployable_p, summary.deployable_hazard_ratio):
        assert np.isnan(number.value)
        assert "training patients was not recorded" in number.reason
    assert summary.hazard_ratio.value > 1


def test_a_constant_risk_has_one_group_only() -> None:
    cells = [replace(fold(f), risk=np.zeros(60), train_median_risk=0.0) for f in range(2)]
    summary = summarise(cells, 20.0)
    assert "same risk group" in summary.logrank_p.reason
    assert "same risk group" in summary.deployable_p.reason
    assert summary.hazard_ratio.reason == "nobody is in the high risk group"


def test_calibration_stands_at_the_horizon_or_the_last_year_before_it() -> None:
    cells = [fold(f) for f in range(2)]
    until = min(float(np.quantile(c.train_time[c.train_event], 0.75)) for c in cells)  # type: ignore[index]
    assert 12 < until < 24
    cells = [replace(c, edges=c.edges * 5) for c in cells if c.edges is not None]
    summary = summarise(cells, 36.0)
    assert summary.calibration_horizon == 12
    assert np.isfinite([summary.calibration_slope.value, summary.calibration_error.value]).all()
    assert 0 <= summary.d_calibration_p.value <= 1
    risk_only = summarise([replace(c, survival=None, edges=None) for c in cells], 36.0)
    for number in (
        risk_only.d_calibration_p,
        risk_only.calibration_slope,
        risk_only.calibration_error,
    ):
        assert number.reason == "fold 0: the method gives a risk, no survival curve"


def test_a_fold_without_a_number_takes_the_mean_away_and_says_why() -> None:
    good, bad = fold(0), fold(1)
    bad = replace(bad, event=np.zeros(len(bad), bool))
    summary = summarise([good, bad], 20.0)
    assert np.isnan(summary.c_index.value)
    assert summary.c_index.reason == "fold 1, seed 0: no comparable pair of patients"


def test_risk_only_rows_have_a_c_index_and_no_brier_score() -> None:
    summary = summarise([replace(fold(0), survival=None, edges=None)], 20.0)
    assert summary.c_index.value > 0.5
    assert summary.ibs.reason == "fold 0, seed 0: the method gives a risk, no survival curve"


def test_an_incomplete_grid_is_never_averaged() -> None:
    cells = [fold(0, seed=0), fold(1, seed=0), fold(0, seed=1)]
    with pytest.raises(ResultError, match="seed 1 of fold 1 is missing"):
        summarise(cells, 20.0)
    with pytest.raises(ResultError, match="once per fold"):
        summarise([cells[0], cells[0]], 20.0)
    with pytest.raises(ResultError, match="cannot average"):
        summarise([], 20.0)


def test_seeds_of_a_fold_must_predict_the_same_patients() -> None:
    one, two = fold(0, seed=0), fold(0, seed=1)
    fewer = replace(
        two, case_id=two.case_id[1:], time=two.time[1:], event=two.event[1:], risk=two.risk[1:]
    )
    with pytest.raises(ResultError, match="case-0-0000"):
        summarise([one, fewer], 20.0)
