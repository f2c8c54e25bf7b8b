"""Kaplan-Meier curves of risk groups, with pointwise bands and numbers at risk.

Source: Kaplan & Meier, JASA 1958; band: Greenwood's variance of log(-log S) (Kalbfleisch &
Prentice), which R calls `conf.type = "log-log"`. scikit-survival and lifelines agree to 1e-14; the
first is some ten times faster, and a leaderboard asks for a thousand curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survbench.score.groups import Cut, RiskGroups, middle_seed, risk_groups
from survbench.score.logrank import pooled
from survbench.score.predictions import Array, Estimate, FoldPredictions, Mask


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """Observed survival of a group: a step function that falls at `time`, with its 95 % band.

    Parameters
    ----------
    time : array (T,)
        Months, 0 first, then every follow-up time; the last one is where the curve ends.
    survival : array (T,)
        From each time on.
    low, high : array (T,)
        Pointwise band; after time 0 it is NaN where S is 1 or 0, for which it does not exist.
    n, events : int
        Patients and deaths.
    """

    time: Array
    survival: Array
    low: Array
    high: Array
    n: int
    events: int

    def at(self, month: float) -> Estimate:
        """S(month) with its band; NaN and why beyond the follow-up, unless everybody died."""
        if month > self.time[-1] and self.survival[-1] > 0:
            return Estimate.none(
                f"{month:g} months is beyond the follow-up of {self.time[-1]:g} of a risk group"
            )
        k = int(np.searchsorted(self.time, month, side="right")) - 1
        return Estimate(float(self.survival[k]), float(self.low[k]), float(self.high[k]))


def kaplan_meier(time: Array, event: Mask, level: float = 0.95) -> KaplanMeier:
    """Curve of a group of at least one patient.

    Parameters
    ----------
    time, event : array (N,)
        Follow-up in months and whether death was seen.
    level : float
        Coverage of the band.
    """
    from sksurv.nonparametric import kaplan_meier_estimator  # noqa: PLC0415  (slow to import)

    months, survival, band = kaplan_meier_estimator(
        event, time, conf_level=level, conf_type="log-log"
    )
    # there scikit-survival writes S itself: a band of no width
    low, high = np.where((survival > 0) & (survival < 1), band, np.nan)
    return KaplanMeier(
        time=np.r_[0.0, months],
        survival=np.r_[1.0, survival],
        low=np.r_[1.0, low],
        high=np.r_[1.0, high],
        n=len(time),
        events=int(event.sum()),
    )


def at_risk(time: Array, at: Array) -> NDArray[np.int64]:
    """Patients (T,) whose follow-up of `time` (N,) months lasts at least until `at` (T,)."""
    return np.asarray((time >= at[:, None]).sum(axis=1), np.int64)


def curves(groups: RiskGroups) -> dict[str, KaplanMeier]:
    """Curves of the "low" and the "high" risk group; a group without patients has none."""
    members = {"low": ~groups.high, "high": groups.high}
    return {
        name: kaplan_meier(groups.time[here], groups.event[here])
        for name, here in members.items()
        if here.any()
    }


def drawn_groups(cells: Sequence[FoldPredictions], cut: Cut = "test") -> RiskGroups | None:
    """Groups of the seed whose pooled log-rank p is the median, which is the p of the table.

    None where the cut was not recorded. With an even number of seeds it is the lower of the two.
    """
    return risk_groups(middle_seed(cells, lambda folds: _pooled_p(folds, cut)), cut)


def _pooled_p(folds: Sequence[FoldPredictions], cut: Cut) -> float:
    groups = risk_groups(folds, cut)
    if groups is None:
        return float("nan")
    return pooled(groups.time, groups.event, groups.high).value
