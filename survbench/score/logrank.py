"""Log-rank tests of a high against a low risk group, pooled over folds and stratified by fold.

Folds share most of their training patients, so every p-value here is nominal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from survbench.score.predictions import Array, Estimate, Mask, Score
from survbench.score.stratified_cox import stratified_cox


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
        return float(chdtrc(1, self.statistic))


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
) -> Estimate:
    """Hazard of the high over the low group with its Wald interval: Cox model by fold."""
    for name, group in (("high", high), ("low", ~high)):
        if not group.any():
            return Estimate.none(f"nobody is in the {name} risk group")
        if not event[group].any():
            return Estimate.none(f"no death in the {name} risk group")
    log_ratio = stratified_cox(time, event, high.astype(np.float64), stratum, level)
    if log_ratio.reason:
        return log_ratio
    value, low, top = np.exp([log_ratio.value, log_ratio.low, log_ratio.high])
    return Estimate(float(value), float(low), float(top))


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
