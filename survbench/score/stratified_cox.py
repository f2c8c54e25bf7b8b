"""Cox regression on one number, stratified by fold: hazard ratios and calibration slopes.

Source: Cox, JRSS B 1972; ties as in Efron, JASA 1977.
lifelines fits the same model (a test compares the two), but its general machinery needs some tenths
of a second for each; a leaderboard asks for hundreds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from survbench.score.predictions import Array, Estimate, Mask

NO_MAXIMUM = (
    "the stratified Cox model has no maximum: within folds the covariate never differs, or always "
    "does in the same direction, between who dies and who is at risk"
)
_STEPS = 50
_CLOSE = 1e-10  # the last step, in standard deviations of x
_SAME = 1e-12  # relative spread that is rounding error
_NOTHING = 1e-10  # information that is rounding error
_FURTHEST = 20.0  # log hazard ratio per standard deviation beyond which there is no maximum


@dataclass(frozen=True, eq=False)
class _Stratum:
    """Patients of a fold by falling time, and what each death needs.

    Parameters
    ----------
    x : array (N,)
        The covariate.
    at_risk : array (E,)
        For each death, how many patients are at risk at its time.
    first, last : array (E,)
        For each death, the range of the deaths of the same time among all deaths.
    ahead : array (E,)
        Share of those deaths that Efron counts as gone: 0, 1/d, ... (d - 1)/d.
    dead : array (E,)
        Positions of the deaths in x.
    """

    x: Array
    at_risk: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    ahead: Array
    dead: NDArray[np.intp]

    @classmethod
    def of(cls, time: Array, event: Mask, x: Array) -> _Stratum:
        order = np.argsort(-time, kind="stable")
        time, event, x = time[order], event[order], x[order]
        dead = np.flatnonzero(event)
        falling = -time[dead]
        first = np.searchsorted(falling, falling, side="left")
        last = np.searchsorted(falling, falling, side="right")
        ahead = (np.arange(len(dead)) - first) / (last - first)
        at_risk = np.searchsorted(-time, falling, side="right")
        return cls(x, at_risk, first, last, ahead, dead)

    def slope_and_information(self, coefficient: float) -> tuple[float, float]:
        """First derivative of the log partial likelihood and minus the second."""
        weight = np.exp(coefficient * self.x)
        powers = np.stack([weight, weight * self.x, weight * self.x**2])  # (3, N)
        all_at_risk = np.cumsum(powers, axis=1)[:, self.at_risk - 1]  # (3, E)
        deaths = np.cumsum(np.pad(powers[:, self.dead], ((0, 0), (1, 0))), axis=1)
        dying = deaths[:, self.last] - deaths[:, self.first]
        total, one, two = all_at_risk - self.ahead * dying
        mean = one / total
        return float((self.x[self.dead] - mean).sum()), float((two / total - mean**2).sum())


def stratified_cox(
    time: Array, event: Mask, x: Array, stratum: NDArray[np.int64], level: float = 0.95
) -> Estimate:
    """Log hazard ratio of one more x, with its Wald interval; NaN and why where undefined.

    Parameters
    ----------
    time, event : array (N,)
        Follow-up in months and whether death was seen.
    x : array (N,)
        The covariate.
    stratum : array (N,)
        The fold of each patient; each has its own baseline hazard.
    level : float
        Coverage of the interval.
    """
    spread = float(x.std())
    if spread <= _SAME * max(1.0, float(np.abs(x).max())):
        return Estimate.none("the covariate of the Cox model is the same for everybody")
    scaled = (x - x.mean()) / spread
    strata = [
        _Stratum.of(time[here], event[here], scaled[here])
        for here in (stratum == label for label in np.unique(stratum))
        if event[here].any()
    ]
    coefficient = 0.0
    for _ in range(_STEPS):
        parts = [one.slope_and_information(coefficient) for one in strata]
        slope, information = np.sum(parts, axis=0) if parts else (0.0, 0.0)
        if not information > _NOTHING or abs(coefficient) > _FURTHEST:
            break
        step = float(np.clip(slope / information, -1.0, 1.0))
        coefficient += step
        if abs(step) < _CLOSE:
            reach = float(ndtri((1 + level) / 2)) / float(np.sqrt(information))
            low, high = coefficient - reach, coefficient + reach
            return Estimate(coefficient / spread, low / spread, high / spread)
    return Estimate.none(NO_MAXIMUM)
