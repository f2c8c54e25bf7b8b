from dataclasses import replace

import numpy as np
import pytest
import sksurv.metrics
from sksurv.util import Surv

from survbench.errors import ResultError
from survbench.score.brier import (
    brier_score,
    integrated_brier_score,
    last_finite_edge,
    survival_at,
)
from survbench.score.ipcw import censoring_of
from tests.score.simulated import fold


def test_constant_hazard_between_edges_by_hand() -> None:
    edges, survival = np.array([0.0, 2.0, 6.0]), np.array([[0.5, 0.125, 0.1]])
    at = np.array([0.0, 1.0, 2.0, 4.0, 6.0])
    # hazard log(2) / 2 in the first interval, log(4) / 4 in the second
    wanted = [[1, 0.5**0.5, 0.5, 0.5 * 0.25**0.5, 0.125]]
    assert survival_at(at, survival, edges) == pytest.approx(np.array(wanted), abs=1e-12)


def test_certain_death_in_an_interval_is_survival_0_right_after_its_start() -> None:
    edges, survival = np.array([0.0, 2.0, 4.0]), np.array([[0.5, 0.0]])
    at = np.array([1.0, 2.0, 2.1, 4.0])
    assert survival_at(at, survival, edges) == pytest.approx(np.array([[0.5**0.5, 0.5, 0, 0]]))


def test_brier_score_is_that_of_scikit_survival() -> None:
    cell = fold()
    assert cell.survival is not None
    assert cell.edges is not None
    assert cell.train_time is not None
    assert cell.train_event is not None
    censoring = censoring_of(cell)
    assert censoring is not None
    at = np.linspace(cell.time.min(), last_finite_edge(cell.train_time, cell.train_event), 25)
    _, theirs = sksurv.metrics.brier_score(
        Surv.from_arrays(cell.train_event, cell.train_time),
        Surv.from_arrays(cell.event, cell.time),
        survival_at(at, cell.survival, cell.edges),
        at,
    )
    assert brier_score(at, cell, censoring) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_integral_is_the_limit_of_a_fine_grid(tied: bool) -> None:
    cell = fold(1, tied=tied)
    censoring = censoring_of(cell)
    assert censoring is not None
    until = last_finite_edge(censoring.time, censoring.event)
    middle = (np.arange(20_000) + 0.5) * until / 20_000
    wanted = np.mean([brier_score(part, cell, censoring).mean() for part in middle.reshape(50, -1)])
    ours = integrated_brier_score(cell, censoring)
    assert ours.value == pytest.approx(wanted, abs=1e-5)


def test_integral_by_hand_without_censoring() -> None:
    # One death at 1 and two later; S(t) = 2^-t for all; deaths at 1, 4, 4 in training: until 4.
    cell = fold(patients=3)
    cell = replace(
        cell,
        time=np.array([1.0, 5.0, 6.0]),
        event=np.ones(3, bool),
        survival=np.full((3, 1), 1 / 16),
        edges=np.array([0.0, 4.0]),
        train_time=np.array([1.0, 4.0, 4.0, 7.0]),
        train_event=np.array([True, True, True, False]),
    )
    rate = np.log(2)

    def area(power: int, low: float, high: float) -> float:
        return float((2.0 ** (-power * low) - 2.0 ** (-power * high)) / (power * rate))

    def alive(high: float) -> float:
        return high - 2 * area(1, 0, high) + area(2, 0, high)

    wanted = (alive(1) + area(2, 1, 4) + 2 * alive(4)) / 3 / 4
    ours = integrated_brier_score(cell, censoring_of(cell))
    assert ours.value == pytest.approx(wanted, abs=1e-12)


def test_certain_death_counts_as_survival_0() -> None:
    cell = fold(patients=3)
    cell = replace(
        cell,
        time=np.array([1.0, 5.0, 6.0]),
        event=np.ones(3, bool),
        survival=np.zeros((3, 1)),
        edges=np.array([0.0, 4.0]),
        train_time=np.array([1.0, 4.0, 4.0, 7.0]),
        train_event=np.array([True, True, True, False]),
    )
    ours = integrated_brier_score(cell, censoring_of(cell))
    assert ours.value == pytest.approx((1 + 4 + 4) / 3 / 4, abs=1e-12)


def test_the_open_last_interval_is_not_used() -> None:
    cell = fold()
    assert cell.survival is not None
    other = replace(cell, survival=np.c_[cell.survival[:, :3], np.zeros(len(cell))])
    closed = replace(cell, survival=cell.survival[:, :3])
    values = [integrated_brier_score(c, censoring_of(c)).value for c in (cell, other, closed)]
    assert values[0] == values[1] == values[2]


def test_finer_edges_of_the_same_curve_give_the_same_score() -> None:
    cell = fold()
    assert cell.survival is not None
    assert cell.edges is not None
    finer = np.unique(np.concatenate([cell.edges, cell.edges[:-1] + np.diff(cell.edges) / 3]))
    curve = survival_at(finer[1:], cell.survival, cell.edges)
    same = replace(cell, survival=curve, edges=finer)
    wanted = integrated_brier_score(cell, censoring_of(cell)).value
    assert integrated_brier_score(same, censoring_of(same)).value == pytest.approx(
        wanted, abs=1e-12
    )


def test_no_curve_or_too_short_a_curve_has_a_reason_and_no_number() -> None:
    cell = fold()
    assert cell.edges is not None
    assert cell.survival is not None
    risk_only = replace(cell, survival=None, edges=None)
    short = replace(cell, edges=cell.edges[:3], survival=cell.survival[:, :2])
    brief = replace(cell, time=np.minimum(cell.time, 2.0))
    alone = replace(cell, train_time=None, train_event=None)
    for wrong, reason in (
        (risk_only, "no survival curve"),
        (replace(cell, edges=None), "times of the survival curve"),
        (short, "the score needs"),
        (brief, "beyond the test follow-up"),
        (alone, "no censoring model"),
    ):
        score = integrated_brier_score(wrong, censoring_of(wrong))
        assert np.isnan(score.value)
        assert reason in score.reason


def test_edges_that_do_not_fit_the_curve_are_refused() -> None:
    cell = fold()
    assert cell.edges is not None
    with pytest.raises(ResultError, match="must rise from 0"):
        survival_at(cell.edges, np.ones((1, 3)), cell.edges[::-1])
    with pytest.raises(ResultError, match="do not fit"):
        survival_at(cell.edges, np.ones((1, 7)), cell.edges)
