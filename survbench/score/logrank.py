"""Log-rank tests of a high against a low risk group, pooled over folds and stratified by fold.

Folds share most of their training patients, so every p-value here is nominal.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from survbench.score.predictions import Array, Mask, Score


@dataclass(frozen=True)
class LogRank:
    """A stratified log-rank test on one degree of freedom.

    Parameters
    ----------
    excess : float
        U: deaths in the high group beyond those expected, summed over strata.
    variance : float
        V: its variance, summed over strata.
    """

    excess: float
    variance: float

    @property
    def statistic(self) -> float:
        """U^2 / V; NaN where no stratum ever has both groups at risk."""
        return self.excess**2 / self.variance if self.variance > 0 else float("nan")

    @property
    def p_value(self) -> float:
        """Upper tail of chi-squared on one degree of freedom."""
        return float(chi2.sf(self.statistic, 1))


@dataclass(frozen=True)
class HazardRatio:
    """Hazard of the high over the low group, with its interval; NaN and why where undefined."""

    value: float
    low: float
    high: float
    reason: str = ""


def high_risk(risk: Array, cut: float | None = None) -> Mask:
    """Who is above the cut (N,); the median of these risks unless another cut is given."""
    return np.asarray(risk > (np.median(risk) if cut is None else cut))


def pooled(time: Array, event: Mask, high: Mask) -> Score:
    """P-value of the ordinary log-rank test, which ignores folds: everybody in one stratum."""
    return stratified_p(time, event, high, np.zeros(len(time), np.int64))


def stratified(time: Array, event: Mask, high: Mask, stratum: NDArray[np.int64]) -> LogRank:
    """Log-rank test that compares patients within a stratum only: U and V summed over strata.

    Parameters
    ----------
    time, event : array (N,)
        Follow-up in months and whether death was seen.
    high : array (N,)
        Who is in the high risk group.
    stratum : array (N,)
        The fold of each patient.
    """
    parts = [
        _excess(time[here], event[here], high[here])
        for here in (stratum == label for label in np.unique(stratum))
    ]
    excess, variance = np.sum(parts, axis=0)
    return LogRank(float(excess), float(variance))


def stratified_p(time: Array, event: Mask, high: Mask, stratum: NDArray[np.int64]) -> Score:
    """P-value of `stratified`."""
    reason = _no_test(event, high)
    if reason:
        return Score.none(reason)
    test = stratified(time, event, high, stratum)
    if not test.variance > 0:
        return Score.none("no death while both risk groups are at risk")
    return Score(test.p_value)


def hazard_ratio(
    time: Array, event: Mask, high: Mask, stratum: NDArray[np.int64], level: float = 0.95
) -> HazardRatio:
    """Hazard ratio of the high group with its Wald interval: Cox model stratified by fold."""
    nan = float("nan")
    for name, group in (("high", high), ("low", ~high)):
        if not event[group].any():
            return HazardRatio(nan, nan, nan, f"no death in the {name} risk group")
    frame = pd.DataFrame({"time": time, "event": event, "high": high * 1.0, "fold": stratum})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            model = CoxPHFitter().fit(frame, "time", "event", strata=["fold"])
    except (ConvergenceError, ConvergenceWarning):
        return HazardRatio(nan, nan, nan, "the Cox model of the two groups does not converge")
    log_ratio, error = float(model.params_["high"]), float(model.standard_errors_["high"])
    reach = float(norm.ppf((1 + level) / 2)) * error
    low, value, top = np.exp([log_ratio - reach, log_ratio, log_ratio + reach])
    return HazardRatio(float(value), float(low), float(top))


def _no_test(event: Mask, high: Mask) -> str:
    if high.all() or not high.any():
        return "every patient is in the same risk group"
    return "" if event.any() else "no death among the patients"


def _excess(time: Array, event: Mask, high: Mask) -> tuple[float, float]:
    """U and V of one stratum: observed minus hypergeometric mean, and hypergeometric variance."""
    at = np.unique(time[event])  # (T,)
    at_risk = time >= at[:, None]  # (T, N)
    dies = (time == at[:, None]) & event
    risk, deaths = at_risk.sum(axis=1), dies.sum(axis=1)
    share = (at_risk & high).sum(axis=1) / risk
    excess = (dies & high).sum(axis=1) - deaths * share
    variance = deaths * share * (1 - share) * (risk - deaths) / np.maximum(risk - 1, 1)
    return float(excess.sum()), float(variance.sum())
