"""Uno's C and the AUC at a cohort's horizon; censoring is modelled on the training fold.

Both agree with scikit-survival, whose functions fit the censoring model anew on every call.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from survbench.score.concordance import NO_PAIR, comparable_pairs, credit
from survbench.score.predictions import Array, FoldPredictions, Mask, Score

NO_TRAINING = "the training patients are not known, so there is no censoring model"


class Censoring:
    """G(t), the probability of being uncensored after t: reverse Kaplan-Meier of a training fold.

    Parameters
    ----------
    time, event : array (N,)
        Follow-up of the training patients.
    """

    def __init__(self, time: Array, event: Mask) -> None:
        self.time, self.event = time, event
        self._steps, self._values = _reverse_kaplan_meier(time.tobytes(), event.tobytes())
        self.last = float(time.max())

    def survival(self, at: Array) -> Array:
        """G (T,) at times no later than the last follow-up of the training fold."""
        return np.asarray(self._values[np.searchsorted(self._steps, at, side="right") - 1])


@lru_cache(maxsize=64)
def _reverse_kaplan_meier(time: bytes, event: bytes) -> tuple[Array, Array]:
    """Times, -inf first, and G from each of them on; all rows of a fold share their model."""
    from sksurv.nonparametric import CensoringDistributionEstimator  # noqa: PLC0415  (slow)
    from sksurv.util import Surv  # noqa: PLC0415

    outcome = Surv.from_arrays(np.frombuffer(event, bool), np.frombuffer(time, np.float64))
    model = CensoringDistributionEstimator().fit(outcome)
    return np.r_[-np.inf, model.unique_time_], np.r_[1.0, model.prob_]


def censoring_of(fold: FoldPredictions) -> Censoring | None:
    """Censoring model of a fold, None where its training patients (and a death) are not known."""
    if fold.train_time is None or fold.train_event is None or not fold.train_event.any():
        return None
    return Censoring(fold.train_time, fold.train_event)


def beyond_support(time: Array, censoring: Censoring | None, until: float | None) -> str:
    """Why nothing weighted by censoring can be said up to `until`; empty where it can.

    Parameters
    ----------
    time : array (N,)
        Follow-up of the test patients.
    censoring : Censoring or None
        Model of the training fold.
    until : float or None
        The horizon, in months.
    """
    if until is None:
        return "the cohort states no horizon"
    if censoring is None:
        return NO_TRAINING
    if until > censoring.last:
        return f"{until:g} months is beyond the training follow-up of {censoring.last:g}"
    if censoring.survival(np.array([until]))[0] <= 0:
        return f"nobody in training is uncensored after {until:g} months"
    if until >= time.max():
        return f"{until:g} months is beyond the test follow-up of {time.max():g}"
    return ""


def uno_c(fold: FoldPredictions, horizon: float | None, censoring: Censoring | None) -> Score:
    """Uno's C of one fold: pairs whose earlier death came before the horizon, by 1 / G^2."""
    reason = beyond_support(fold.time, censoring, horizon)
    if reason or censoring is None or horizon is None:
        return Score.none(reason)
    pairs = comparable_pairs(fold.time, fold.event & (fold.time < horizon))
    if not len(pairs):
        return Score.none(f"{NO_PAIR} before {horizon:g} months")
    weight = censoring.survival(fold.time[pairs.earlier]) ** -2
    return Score(float(weight @ pairs.credit(fold.risk) / weight.sum()))


def auc(fold: FoldPredictions, horizon: float | None, censoring: Censoring | None) -> Score:
    """Cumulative/dynamic AUC of one fold at the horizon: dead by then against alive after it.

    The dead weigh 1 / G(their time); the living all weigh the same.
    """
    reason = beyond_support(fold.time, censoring, horizon)
    if reason or censoring is None or horizon is None:
        return Score.none(reason)
    dead, alive = fold.event & (fold.time <= horizon), fold.time > horizon
    if not dead.any():
        return Score.none(f"no death before {horizon:g} months")
    weight = 1 / censoring.survival(fold.time[dead])
    ranked = credit(fold.risk[dead][:, None] - fold.risk[alive])  # (dead, alive)
    return Score(float(weight @ ranked.mean(axis=1) / weight.sum()))
