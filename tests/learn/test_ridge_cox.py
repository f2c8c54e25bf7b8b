"""Ridge Cox: the fits of scikit-survival, Breslow by hand, and what must not change a fit."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from survbench.check import sample_cohort
from survbench.learn import ridge_cox
from survbench.learn.ridge_cox import (
    PENALTIES,
    RidgeCox,
    block_of,
    breslow,
    choose_penalty,
    concordant,
    fit_columns,
    fit_components,
    ridge_path,
    time_grid,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def survival_data(count: int = 120, width: int = 6) -> tuple[Array, Array, Mask]:
    """Covariates (count, width), times with ties, and events."""
    draw = np.random.default_rng(5)
    x = draw.normal(size=(count, width))
    death = np.ceil(draw.exponential(20 * np.exp(-x[:, 0])))
    leaves = np.ceil(draw.exponential(30, count))
    return x, np.minimum(death, leaves), death <= leaves


@pytest.mark.parametrize("penalty", [0.1, 3.0, 300.0])
def test_coefficients_and_baseline_are_those_of_scikit_survival(penalty: float) -> None:
    x, time, event = survival_data()
    reference = CoxPHSurvivalAnalysis(alpha=penalty, ties="breslow", tol=1e-14, n_iter=500)
    reference.fit(x, Surv.from_arrays(event, time))
    weight = ridge_path(x, time, event, [300.0, penalty])[:, 1]
    np.testing.assert_allclose(weight, reference.coef_, atol=1e-7)
    at = np.array([2.0, 9.5, 30.0])
    hazard = breslow(time, event, x @ weight, at)
    np.testing.assert_allclose(hazard, reference.cum_baseline_hazard_(at), rtol=1e-6)


def test_two_patients_give_the_coefficient_of_the_closed_form() -> None:
    # x = 1 dies first: l(w) = w - log(1 + e^w), so 1 / (1 + e^w) = penalty * w at the maximum.
    x, time, event = np.array([[1.0], [0.0]]), np.array([1.0, 2.0]), np.array([True, False])
    weight = ridge_path(x, time, event, [0.2])[0, 0]
    assert 1 / (1 + np.exp(weight)) == pytest.approx(0.2 * weight, abs=1e-9)


def test_breslow_of_equal_risks_is_the_nelson_aalen_sum() -> None:
    time, event = np.array([1.0, 2.0, 2.0, 4.0]), np.array([True, True, False, True])
    hazard = breslow(time, event, np.zeros(4), np.array([0.5, 1.0, 2.0, 9.0]))
    np.testing.assert_allclose(hazard, [0, 1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1], rtol=1e-12)


def test_pairs_where_nobody_died_count_nothing() -> None:
    x, time, _ = survival_data()
    assert concordant(time, np.zeros(len(time), bool), x[:, 0]) == 0


def test_no_comparable_pair_keeps_the_strongest_penalty() -> None:
    x, time, _ = survival_data()
    penalty, _ = choose_penalty(x, time, np.zeros(len(time), bool))
    assert penalty == max(PENALTIES)


def test_a_penalty_that_shrinks_too_much_leaves_a_true_log_hazard_ratio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, time, event = survival_data(count=600)
    train, new = np.arange(600) < 300, np.arange(600) >= 300
    monkeypatch.setattr(ridge_cox, "PENALTIES", (1e5,))
    model = fit_components({"P": x[train]}, time[train], event[train], most=9)
    slope = ridge_path(model.risk({"P": x[new]})[:, None], time[new], event[new], [1e-6])[0, 0]
    assert slope == pytest.approx(1, abs=0.38)  # three deviations: 1.02 +- 0.13 over 40 seeds
    assert choose_penalty(x, time, event)[1] > 10  # what the penalty alone would have left out


def test_held_out_risks_of_no_use_keep_their_ranking() -> None:
    x, time, event = survival_data()
    assert choose_penalty(np.zeros_like(x), time, event)[1] == 1
    backwards = choose_penalty(x[::-1], time, event)[1]
    assert backwards > 0


def test_the_order_of_training_patients_does_not_matter() -> None:
    x, time, event = survival_data()
    time = time + np.linspace(0, 0.5, len(time))  # inner folds are dealt by time: no ties here
    order = np.random.default_rng(1).permutation(len(time))
    model = fit_components({"P": x}, time, event, most=4)
    turned = fit_components({"P": x[order]}, time[order], event[order], most=4)
    assert model.penalty == turned.penalty
    np.testing.assert_allclose(model.weight["P"], turned.weight["P"], atol=1e-8)


def test_the_unit_of_a_column_does_not_matter() -> None:
    x, time, event = survival_data()
    model = fit_components({"P": x}, time, event, most=4)
    scaled = fit_components({"P": 1000 * x + 7}, time, event, most=4)
    np.testing.assert_allclose(model.risk({"P": x}), scaled.risk({"P": 1000 * x + 7}), atol=1e-7)


def test_an_absent_block_sits_at_its_training_mean() -> None:
    x, time, event = survival_data()
    model = fit_components({"P": x[:, :3], "G": x[:, 3:]}, time, event, most=9)
    absent = {"P": np.full((1, 3), np.nan), "G": x[:1, 3:]}
    at_mean = {"P": x[:, :3].mean(axis=0, keepdims=True), "G": x[:1, 3:]}
    np.testing.assert_allclose(model.risk(absent), model.risk(at_mean), atol=1e-12)


def test_risk_is_centred_on_the_training_mean() -> None:
    x, time, event = survival_data()
    for model in (
        fit_components({"P": x}, time, event, most=9),
        fit_columns({"P": x}, time, event),
    ):
        assert model.risk({"P": x}).mean() == pytest.approx(0, abs=1e-12)


def test_absent_rows_do_not_reach_the_fit_of_a_block() -> None:
    x, time, event = survival_data()
    block = x.copy()
    block[::4] = np.nan
    model = fit_components({"P": block}, time, event, most=9)
    np.testing.assert_allclose(model.centre["P"], x[~np.isnan(block[:, 0])].mean(axis=0))
    assert np.isfinite(model.weight["P"]).all()


def test_constant_columns_weigh_nothing() -> None:
    x, time, event = survival_data()
    constant = np.concatenate([x, np.full((len(x), 1), 0.1)], axis=1)
    model = fit_components({"P": constant}, time, event, most=9)
    assert model.weight["P"][-1] == 0
    assert not fit_components({"P": constant[:, -1:]}, time, event, most=9).weight["P"].any()


def test_more_columns_than_patients_are_fitted() -> None:
    x, time, event = survival_data(count=30, width=80)
    model = fit_components({"P": x}, time, event, most=100)
    survival = model.survival(model.risk({"P": x}))
    assert ((survival >= 0) & (survival <= 1)).all()
    assert (np.diff(survival, axis=1) <= 0).all()


def test_survival_is_breslows_at_the_edges() -> None:
    model = RidgeCox({}, {}, np.array([0.0, 5.0, 9.0]), np.array([0.1, 0.4]), 1.0)
    survival = model.survival(np.array([0.0, np.log(2)]))
    np.testing.assert_allclose(survival, np.exp([[-0.1, -0.4], [-0.2, -0.8]]))


def test_time_grid_ends_at_the_75_percent_quantile_of_the_event_times() -> None:
    time = np.arange(1.0, 102.0)
    grid = time_grid(np.concatenate([time, [500.0]]), np.arange(102) < 101, count=3)
    np.testing.assert_allclose(grid, [0, 26, 51, 76])


def test_time_grid_survives_few_and_tied_deaths() -> None:
    time = np.array([3.0, 3.0, 8.0])
    assert time_grid(time, np.array([True, True, False])).tolist() == [0, 3]
    assert time_grid(time, np.zeros(3, bool))[-1] > 0


def test_genes_enter_once_however_many_groups_hold_them() -> None:
    cohort = sample_cohort(5)
    # groups 0-4, 3-8 and 8-11: columns 12 and 13 are in none
    np.testing.assert_array_equal(
        block_of(cohort, "G"),
        cohort.modalities["G"].values[:, :12],  # type: ignore[union-attr]
    )


def test_a_bag_enters_as_its_mean_patch_and_an_absent_one_as_nan() -> None:
    cohort = sample_cohort(5)
    bags = cohort.modalities["P"]
    block = block_of(cohort.absent({"P": np.arange(5) == 2}), "P")
    assert np.isnan(block[2]).all()
    np.testing.assert_allclose(block[3], bags.bag(3).mean(axis=0), rtol=1e-5)  # type: ignore[union-attr]


def test_a_model_comes_back_from_its_arrays() -> None:
    x, time, event = survival_data()
    model = fit_components({"P": x[:, :3], "G": x[:, 3:]}, time, event, most=9)
    arrays = dict(reversed(model.state("one/").items()))  # files keep no order
    back = RidgeCox.restore(arrays, "one/")
    blocks = {"G": x[:, 3:], "P": x[:, :3]}
    np.testing.assert_array_equal(back.risk(blocks), model.risk(blocks))
    np.testing.assert_array_equal(back.baseline, model.baseline)
    assert back.penalty == model.penalty
