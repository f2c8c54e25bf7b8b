from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from scipy.stats import chi2, kstest

from survbench.score.calibration import (
    bin_counts,
    calibration_at,
    calibration_horizon,
    d_calibration,
    drawn_calibration,
)
from survbench.score.predictions import FoldPredictions

EDGES = np.array([0.0, 6, 12, 18, 24, 36])


def exponential(
    number: int = 0,
    *,
    patients: int = 400,
    stretch: float = 1.0,
    censored: float = 1e9,
    seed: int = 0,
) -> FoldPredictions:
    """Exponential lifetimes of known hazard, and curves that are right where `stretch` is 1.

    The predicted log hazard is `stretch` times the true one's distance from the mean. Training
    patients fix the last finite edge at 36 months.
    """
    draw = np.random.default_rng([5, number, seed])
    x = draw.normal(size=patients)
    death = draw.exponential(1 / hazard_of(x))
    lost = draw.exponential(censored, patients)
    survival = np.exp(-hazard_of(stretch * x)[:, None] * EDGES[1:])
    return FoldPredictions(
        fold=number,
        seed=seed,
        case_id=np.array([f"case-{number}-{i:04d}" for i in range(patients)]),
        time=np.minimum(death, lost),
        event=death <= lost,
        risk=x,
        survival=survival,
        edges=EDGES,
        train_time=np.full(4, 36.0),
        train_event=np.ones(4, bool),
    )


def hazard_of(log: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(0.8 * log) / 20)


# -- D-calibration


def test_the_censored_are_spread_below_their_survival_by_hand() -> None:
    # died at S = 0.95 and at exactly 0.3; censored at S = 0.25: a fifth in [0.2, 0.3) and two
    # fifths in each bin below; censored at 0 and at 1
    counts = bin_counts(
        np.array([0.95, 0.3, 0.25, 0.0, 1.0]), np.array([True, True, False, False, False])
    )
    wanted = np.full(10, 0.1)
    wanted += [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    wanted += [0.4, 0.4, 0.2, 0, 0, 0, 0, 0, 0, 0]
    wanted += [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert counts == pytest.approx(wanted, abs=1e-12)


def test_nobody_seen_to_die_by_hand() -> None:
    # all censored at S = 0.5: a fifth in each of the lower five bins, nobody above
    one = exponential(patients=10)
    assert one.survival is not None
    flat = replace(
        one,
        time=np.full(10, 12.0),
        event=np.zeros(10, bool),
        survival=np.tile([0.7, 0.5, 0.4, 0.3, 0.2], (10, 1)),
    )
    made = d_calibration([flat])
    assert made.share == pytest.approx([0.2] * 5 + [0.0] * 5)
    # each bin is 1 off the expected 1
    assert made.p_value.value == pytest.approx(chi2.sf(10 * 1**2 / 1, 9), rel=1e-12)


def test_everybody_is_censored_at_the_last_edge_of_the_training_fold() -> None:
    one = exponential(patients=2)
    curve = np.tile([0.9, 0.8, 0.7, 0.6, 0.5], (2, 1))
    # follow-up of 80 months, a death and not, says no more than being alive at 36 with S = 0.5
    late = replace(one, time=np.array([80.0, 80.0]), event=np.array([True, False]), survival=curve)
    assert d_calibration([late]).share == pytest.approx([0.2] * 5 + [0.0] * 5)
    # the training deaths end earlier, at 12 months: S = 0.8 there
    assert late.train_time is not None
    early = replace(late, train_time=np.full(4, 12.0))
    assert d_calibration([early]).share == pytest.approx([0.125] * 8 + [0.0] * 2)


def test_survival_falls_log_linearly_between_edges() -> None:
    one = exponential(patients=1)
    # S(9) = sqrt(0.9 * 0.4) = 0.6
    curve = np.array([[0.9, 0.4, 0.3, 0.2, 0.1]])
    died = replace(one, time=np.array([9.0 + 1e-9]), event=np.array([True]), survival=curve)
    assert d_calibration([died]).share.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_p_values_of_true_curves_without_censoring_are_uniform() -> None:
    edges = np.array([0.0, 2000.0])  # a hundred mean lifetimes: everybody is seen to die
    p_values = []
    for seed in range(300):
        time = np.random.default_rng([6, seed]).exponential(20, 150)
        cell = replace(
            exponential(patients=150),
            time=time,
            survival=np.full((150, 1), np.exp(-2000 / 20)),
            edges=edges,
            train_time=np.full(4, 2000.0),
        )
        p_values.append(d_calibration([cell]).p_value.value)
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_true_curves_with_censoring_are_rarely_rejected_and_wrong_ones_are() -> None:
    right = [
        [exponential(f, seed=s, patients=90, censored=30) for f in range(5)] for s in range(60)
    ]
    p_right = np.array([d_calibration(folds).p_value.value for folds in right])
    assert (p_right < 0.05).mean() < 0.05
    shares = np.mean([d_calibration(folds).share for folds in right], axis=0)
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.006)
    wrong = [
        replace(cell, survival=cell.survival**2) for cell in right[0] if cell.survival is not None
    ]
    assert d_calibration(wrong).p_value.value < 1e-6


def test_no_curve_has_no_d_calibration_and_says_why() -> None:
    cell = exponential()
    risk_only = d_calibration([replace(cell, survival=None)])
    assert risk_only.p_value.reason == "fold 0: the method gives a risk, no survival curve"
    assert risk_only.share.size == 0
    assert (
        "training patients are not known"
        in d_calibration([replace(cell, train_time=None)]).p_value.reason
    )
    late = replace(cell, train_time=np.full(4, 40.0))
    assert d_calibration([cell, late]).p_value.reason == (
        "fold 0: survival is given until 36 months, the score needs 40"
    )


# -- one horizon


def test_the_horizon_is_the_cohorts_or_the_last_whole_year_of_all_curves() -> None:
    cells = [exponential(0), replace(exponential(1), train_time=np.full(4, 34.2))]
    assert calibration_horizon(cells, 24.0) == 24.0
    assert calibration_horizon(cells, 36.0) == 24.0
    assert calibration_horizon(cells[:1], 36.0) == 36.0
    assert calibration_horizon(cells[:1], 60.0) == 36.0
    assert calibration_horizon([replace(cells[0], train_time=np.full(4, 11.0))], 12.0) is None
    assert calibration_horizon(cells, None) is None
    assert calibration_horizon([replace(cells[0], train_time=None)], 24.0) is None


def test_groups_are_fifths_of_the_prediction_against_kaplan_meier() -> None:
    folds = [exponential(f, patients=90, censored=60) for f in range(5)]
    made = calibration_at(folds, 24.0)
    predicted = np.concatenate([np.exp(-24 * hazard_of(c.risk)) for c in folds])
    time, event = (np.concatenate([getattr(c, k) for c in folds]) for k in ("time", "event"))
    order = np.argsort(predicted)
    distance = []
    for group, members in zip(made.groups, np.split(order, 5), strict=True):
        model = KaplanMeierFitter().fit(time[members], event[members])
        assert group.n == 90
        assert group.predicted == pytest.approx(predicted[members].mean())
        assert group.events == int((event & (time <= 24))[members].sum())
        assert group.observed.value == pytest.approx(model.predict(24.0), abs=1e-12)
        band = model.confidence_interval_.loc[:24].iloc[-1].to_numpy()
        assert (group.observed.low, group.observed.high) == pytest.approx(tuple(band), abs=1e-12)
        distance.append(abs(group.predicted - group.observed.value))
    assert made.error.value == pytest.approx(np.mean(distance), abs=1e-12)


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0])
def test_the_slope_undoes_the_stretch_of_the_log_hazard(stretch: float) -> None:
    folds = [exponential(f, patients=2000, stretch=stretch, censored=60) for f in range(3)]
    made = calibration_at(folds, 24.0)
    assert made.slope.low < 1 / stretch < made.slope.high
    assert made.slope.high - made.slope.low < 0.2 / stretch
    # standard error of a group of 1200 is below 0.015
    assert (made.error.value < 0.02) == (stretch == 1.0)


def test_the_slope_is_the_cox_model_of_lifelines_censored_at_the_horizon() -> None:
    folds = [exponential(f, patients=90, stretch=1.5, censored=60) for f in range(3)]
    time, event, x = (
        np.concatenate([getattr(c, k) for c in folds]) for k in ("time", "event", "risk")
    )
    frame = pd.DataFrame(
        {
            "time": np.minimum(time, 24),
            "event": event & (time <= 24),
            "x": np.log(24 * hazard_of(1.5 * x)),  # -log S(24) = 24 hazard
            "fold": np.repeat([0, 1, 2], 90),
        }
    )
    exact = {"precision": 1e-14, "r_precision": 1e-14}
    theirs = CoxPHFitter().fit(frame, "time", "event", strata=["fold"], fit_options=exact)
    ours = calibration_at(folds, 24.0).slope
    assert ours.value == pytest.approx(theirs.params_["x"], rel=1e-6)
    low, high = theirs.confidence_intervals_.to_numpy()[0]
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-6)


def test_tied_predictions_share_a_group_and_a_constant_one_has_no_slope() -> None:
    cell = exponential(patients=100)
    flat = replace(cell, survival=np.tile([0.9, 0.8, 0.7, 0.6, 0.5], (100, 1)))
    made = calibration_at([flat], 24.0)
    assert [group.n for group in made.groups] == [100]
    assert "same for everybody" in made.slope.reason
    observed = (cell.time > 24).mean()  # nobody is censored
    assert made.error.value == pytest.approx(abs(0.6 - observed), abs=1e-12)


def test_what_cannot_be_said_at_the_horizon_says_why() -> None:
    cell = exponential(patients=100)
    assert "no whole year" in calibration_at([cell], None).error.reason
    beyond = calibration_at([cell], 48.0)
    assert (
        beyond.slope.reason
        == beyond.error.reason
        == ("fold 0: survival is given until 36 months, the score needs 48")
    )
    assert beyond.groups == ()
    risk_only = replace(cell, survival=None, edges=None)
    assert "a risk, no survival" in calibration_at([risk_only], 24.0).error.reason
    assert cell.survival is not None
    sure = cell.survival.copy()
    sure[3, 3:] = 0.0
    certain = calibration_at([replace(cell, survival=sure)], 24.0)
    assert "0 or 1" in certain.slope.reason
    assert np.isfinite(certain.error.value)


def test_a_group_lost_before_the_horizon_has_no_error() -> None:
    cell = exponential(patients=100)
    lost = replace(cell, time=np.minimum(cell.time, 10.0), event=cell.time < 10)
    made = calibration_at([lost], 24.0)
    assert made.error.reason == "24 months is beyond the follow-up of 10 of a risk group"
    assert len(made.groups) == 5
    nobody = calibration_at([replace(cell, event=np.zeros(100, bool))], 12.0)
    assert nobody.slope.reason == "no death until the horizon"


def test_a_figure_shows_the_seed_with_the_median_error() -> None:
    cells = [exponential(f, patients=90, seed=s) for f in range(2) for s in range(3)]
    errors = [calibration_at([c for c in cells if c.seed == s], 24.0).error.value for s in range(3)]
    assert drawn_calibration(cells, 24.0).error.value == np.median(errors)
