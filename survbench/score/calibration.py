"""Whether predicted probabilities of survival come true: over all times, and at one horizon.

Sources: D-calibration: Haider, Hoehn, Davis & Greiner, JMLR 21(85), 2020; groups at a horizon
against Kaplan-Meier, and regression on the complementary log-log of the prediction: Austin, Harrell
& van Klaveren, Statistics in Medicine 2020; slope: van Houwelingen, Statistics in Medicine 2000.
The cohort's horizon often lies beyond the last finite edge, where curves may end; calibration is
then looked at the last whole year before that edge.
Probabilities mean the same in every fold, so folds are pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc  # scipy.stats takes a second to import

from survbench.score.brier import last_finite_edge, no_curve, survival_at
from survbench.score.groups import middle_seed
from survbench.score.ipcw import NO_TRAINING, censoring_of
from survbench.score.kaplan_meier import kaplan_meier
from survbench.score.predictions import Array, Estimate, FoldPredictions, Mask, Score
from survbench.score.stratified_cox import stratified_cox

BINS = 10
GROUPS = 5
YEAR = 12.0
NO_HORIZON = "no whole year lies within the survival curves of every fold"


@dataclass(frozen=True, eq=False)
class DCalibration:
    """Whether S(time of death) is uniform on [0, 1], as it is where the curves are right.

    Parameters
    ----------
    p_value : Score
        Chi-squared test of equal shares on one degree of freedom less than bins. With censored
        patients the counts vary less than the test assumes: it rejects too rarely then.
    share : array (10,)
        Share of the patients in each bin of S, from [0, 0.1) up; empty where there is no curve.
    """

    p_value: Score
    share: Array


@dataclass(frozen=True)
class CalibrationGroup:
    """Patients of similar predicted survival at the horizon.

    Parameters
    ----------
    n, events : int
        Patients, and deaths until the horizon.
    predicted : float
        Mean predicted survival.
    observed : Estimate
        Kaplan-Meier with its 95 % band.
    """

    n: int
    events: int
    predicted: float
    observed: Estimate


@dataclass(frozen=True)
class Calibration:
    """Predicted against observed survival at one horizon.

    Parameters
    ----------
    slope : Estimate
        Coefficient, with its 95 % interval, of log(-log S) in a Cox model stratified by fold and
        censored at the horizon. 1 is right; below 1 the predictions are too extreme, above 1 too
        alike.
    error : Score
        Mean over patients of the distance between predicted and observed survival of their group.
        Right predictions have one above 0, since the observed is estimated: about 0.8 standard
        errors of a group.
    groups : tuple of CalibrationGroup
        From the lowest predicted survival up; fewer than five where predictions tie.
    """

    slope: Estimate
    error: Score
    groups: tuple[CalibrationGroup, ...] = field(default=())

    @classmethod
    def none(cls, reason: str) -> Calibration:
        """No number, for this reason."""
        return cls(Estimate.none(reason), Score.none(reason))


def d_calibration(folds: Sequence[FoldPredictions]) -> DCalibration:
    """D-calibration of one seed's folds, everybody censored at the last edge of their fold.

    That edge is the last finite one of the training fold, the same for every method, as in the
    integrated Brier score.
    """
    counts = np.zeros(BINS)
    for fold in folds:
        censoring = censoring_of(fold)
        until = None if censoring is None else last_finite_edge(censoring.time, censoring.event)
        reason = no_curve(fold, until) or ("" if until is not None else NO_TRAINING)
        if reason or until is None or fold.survival is None or fold.edges is None:
            return DCalibration(Score.none(f"fold {fold.fold}: {reason}"), np.empty(0))
        until = min(until, float(fold.edges[-1]))
        own = np.diagonal(survival_at(np.minimum(fold.time, until), fold.survival, fold.edges))
        counts += bin_counts(own, fold.event & (fold.time <= until))
    expected = counts.sum() / BINS
    statistic = ((counts - expected) ** 2 / expected).sum()
    return DCalibration(Score(float(chdtrc(BINS - 1, statistic))), counts / counts.sum())


def bin_counts(survival: Array, event: Mask) -> Array:
    """Patients (10,) in each bin of [0, 1], the censored in parts.

    Parameters
    ----------
    survival : array (N,)
        S at the time of each patient.
    event : array (N,)
        Whether that is their death; who is censored at S = s dies at a value uniform on [0, s].
    """
    bottom = np.arange(BINS) / BINS
    reach = np.maximum(survival, np.finfo(np.float64).tiny)[:, None]  # s = 0: all in the first bin
    spread = np.clip(reach - bottom, 0.0, 1 / BINS) / reach  # (N, 10)
    at = np.searchsorted(bottom, survival, side="right") - 1
    exact = at[:, None] == np.arange(BINS)
    return np.asarray(np.where(event[:, None], exact, spread).sum(axis=0), np.float64)


def calibration_horizon(cells: Sequence[FoldPredictions], horizon: float | None) -> float | None:
    """Months at which calibration is looked at: the cohort's horizon where every curve gets there.

    Otherwise the last whole year within the last finite edge of every training fold, which is the
    same for every method; None where there is none.
    """
    censoring = [censoring_of(cell) for cell in cells]
    if horizon is None or not all(censoring):
        return None
    ends = min(last_finite_edge(one.time, one.event) for one in censoring if one)
    months = horizon if ends >= horizon else ends // YEAR * YEAR
    return months if months > 0 else None


def calibration_at(folds: Sequence[FoldPredictions], horizon: float | None) -> Calibration:
    """Calibration of one seed's folds at `calibration_horizon`, or why there is none."""
    if horizon is None:
        return Calibration.none(NO_HORIZON)
    at_horizon = []
    for fold in folds:
        reason = no_curve(fold, horizon)
        if reason or fold.survival is None or fold.edges is None:
            return Calibration.none(f"fold {fold.fold}: {reason}")
        until = np.array([min(horizon, float(fold.edges[-1]))])
        at_horizon.append(survival_at(until, fold.survival, fold.edges)[:, 0])
    predicted = np.concatenate(at_horizon)  # (N,)
    time = np.concatenate([fold.time for fold in folds])
    event = np.concatenate([fold.event for fold in folds]) & (time <= horizon)
    stratum = np.repeat([fold.fold for fold in folds], [len(fold) for fold in folds])
    groups = tuple(
        _group(predicted[here], time[here], event[here], horizon) for here in _quantiles(predicted)
    )
    return Calibration(
        slope=_slope(predicted, np.minimum(time, horizon), event, stratum),
        error=_error(groups),
        groups=groups,
    )


def drawn_calibration(cells: Sequence[FoldPredictions], horizon: float | None) -> Calibration:
    """Calibration of the seed whose error is the (lower) median, at `calibration_horizon`."""
    folds = middle_seed(cells, lambda folds: calibration_at(folds, horizon).error.value)
    return calibration_at(folds, horizon)


def _quantiles(predicted: Array) -> list[Mask]:
    """Members (N,) of each group, lowest prediction first; tied patients stay together."""
    cuts = np.quantile(predicted, np.arange(1, GROUPS) / GROUPS)
    place = np.searchsorted(cuts, predicted, side="left")
    return [place == k for k in np.unique(place)]


def _group(predicted: Array, time: Array, event: Mask, horizon: float) -> CalibrationGroup:
    observed = kaplan_meier(time, event).at(horizon)
    return CalibrationGroup(len(time), int(event.sum()), float(predicted.mean()), observed)


def _error(groups: Sequence[CalibrationGroup]) -> Score:
    for group in groups:
        if group.observed.reason:
            return Score.none(group.observed.reason)
    distance = [abs(group.predicted - group.observed.value) for group in groups]
    return Score(float(np.average(distance, weights=[group.n for group in groups])))


def _slope(predicted: Array, time: Array, event: Mask, stratum: NDArray[np.int64]) -> Estimate:
    if ((predicted <= 0) | (predicted >= 1)).any():
        return Estimate.none("a predicted survival of 0 or 1 has no complementary log-log")
    if not event.any():
        return Estimate.none("no death until the horizon")
    return stratified_cox(time, event, np.log(-np.log(predicted)), stratum)
