from dataclasses import replace

import numpy as np
import pytest

from survbench.errors import ResultError
from survbench.score import summarise
from survbench.score.concordance import harrell
from survbench.score.logrank import high_risk, pooled
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
