"""Integrated Brier score: squared error of predicted survival over time, weighted by censoring.

Source: Graf, Schmoor, Sauerbrei & Schumacher, Statistics in Medicine 1999.
S(t) is log-linear between finite edges (constant hazard), S(0) = 1, undefined after the last one.
Every step of the score falls on an observed time or an edge, so the integral is exact, not a grid.
"""

from __future__ import annotations

import numpy as np

from survbench.errors import ResultError
from survbench.score.ipcw import NO_TRAINING, Censoring, beyond_support
from survbench.score.predictions import Array, FoldPredictions, Mask, Score

LAST_QUANTILE = 0.75  # of the training deaths: the last finite edge of four intervals
_SAME_EDGE = 1e-6  # relative: an edge may have been written in float32
_SERIES = 1e-8  # below this the first two terms are exact in float64
_DEAD = 1e-300  # stands for S = 0 where a logarithm is needed


def last_finite_edge(train_time: Array, train_event: Mask) -> float:
    """Upper limit of the score: the 0.75 quantile of the training deaths, for every method."""
    return float(np.quantile(train_time[train_event], LAST_QUANTILE))


def survival_at(at: Array, survival: Array, edges: Array) -> Array:
    """S(t) (N, T) at times `at` (T,) from survival (N, K) at edges[1:].

    Parameters
    ----------
    at : array (T,)
        Months, from 0 to edges[-1].
    survival : array (N, K)
        S at edges[1:]; a column beyond the finite edges (an open last interval) is not used.
    edges : array
        Finite edges, rising from 0.
    """
    known = _at_edges(survival, edges)  # (N, E)
    k = np.clip(np.searchsorted(edges, at, side="left") - 1, 0, len(edges) - 2)
    share = (at - edges[k]) / (edges[k + 1] - edges[k])  # (T,), 0..1 through the interval
    left, right = known[:, k], known[:, k + 1]
    drop = np.log(np.maximum(right, _DEAD)) - np.log(np.maximum(left, _DEAD))
    curve = left * np.exp(share * drop)
    # a certain death within the interval: the limit of ever larger hazards, 0 right after its start
    return np.where((right <= 0) & (share > 0), 0.0, curve)


def brier_score(at: Array, fold: FoldPredictions, censoring: Censoring) -> Array:
    """Brier score (T,) of one fold at times `at` (T,), within the edges and the follow-up."""
    if fold.survival is None or fold.edges is None:
        return np.full(len(at), np.nan)
    curve = survival_at(at, fold.survival, fold.edges)
    dead, alive = _weights(fold, censoring, at)
    return np.asarray((dead * curve**2 + alive * (1 - curve) ** 2).mean(axis=0))


def no_curve(fold: FoldPredictions, until: float | None) -> str:
    """Why a fold has no survival curve up to `until` months, if given; empty where it has."""
    if fold.survival is None:
        return "the method gives a risk, no survival curve"
    if fold.edges is None:
        return "the times of the survival curve are not known"
    ends = float(fold.edges[-1])
    if until is not None and ends < until * (1 - _SAME_EDGE):
        return f"survival is given until {ends:g} months, the score needs {until:g}"
    return ""


def integrated_brier_score(fold: FoldPredictions, censoring: Censoring | None) -> Score:
    """Mean Brier score of one fold over [0, last finite edge of its training fold].

    NaN with its reason for methods that give no survival curve, for curves that end earlier, and
    where training or test follow-up ends earlier.
    """
    until = None if censoring is None else last_finite_edge(censoring.time, censoring.event)
    reason = no_curve(fold, until)
    if reason or fold.survival is None or fold.edges is None:
        return Score.none(reason)
    if censoring is None or until is None:
        return Score.none(NO_TRAINING)
    until = min(until, float(fold.edges[-1]))
    reason = beyond_support(fold.time, censoring, until)
    if reason:
        return Score.none(reason)
    steps = np.concatenate([[0.0, until], fold.edges, fold.time, censoring.time])
    steps = np.unique(steps[(steps >= 0) & (steps <= until)])  # (M + 1,)
    first, second = _integrals(steps, fold.survival, fold.edges)
    dead, alive = _weights(fold, censoring, steps[:-1])
    area = dead * second + alive * (np.diff(steps) - 2 * first + second)
    return Score(float(area.sum(axis=1).mean() / until))


def _weights(fold: FoldPredictions, censoring: Censoring, at: Array) -> tuple[Array, Array]:
    """Weights (N, T) of the squared error of who is dead at, and who is alive after, each time."""
    own = np.ones(len(fold))
    seen = fold.event & (fold.time <= at[-1])
    own[seen] = censoring.survival(fold.time[seen])
    dead = (seen[:, None] & (fold.time[:, None] <= at)) / own[:, None]
    alive = (fold.time[:, None] > at) / censoring.survival(at)
    return dead, alive


def _integrals(steps: Array, survival: Array, edges: Array) -> tuple[Array, Array]:
    """Integrals (N, M) of S and of S^2 over each of M steps, none of which crosses an edge."""
    width = np.diff(steps)
    curve = survival_at(steps, survival, edges)
    start, end = curve[:, :-1], curve[:, 1:]
    fall = np.log(np.maximum(start, _DEAD)) - np.log(np.maximum(end, _DEAD))  # hazard * width
    lives = end > 0
    first = np.where(lives, width * start * _mean_of_exponential(fall), 0.0)
    return first, np.where(lives, width * start**2 * _mean_of_exponential(2 * fall), 0.0)


def _mean_of_exponential(x: Array) -> Array:
    """Mean of exp(-u) for u in [0, x]: (1 - exp(-x)) / x."""
    small = np.abs(x) < _SERIES
    return np.where(small, 1 - x / 2, -np.expm1(-x) / np.where(small, 1.0, x))


def _at_edges(survival: Array, edges: Array) -> Array:
    """S (N, E) at the finite edges, the 1 at time 0 included."""
    bounded = len(edges) - 1
    if bounded < 1 or edges[0] != 0 or (np.diff(edges) <= 0).any():
        msg = f"edges are {', '.join(f'{e:g}' for e in edges)}; they must rise from 0"
        raise ResultError(msg)
    if survival.shape[1] not in (bounded, bounded + 1):
        msg = (
            f"{survival.shape[1]} survival columns do not fit {len(edges)} finite edges; "
            f"{bounded} are needed, or {bounded + 1} where the last interval is open"
        )
        raise ResultError(msg)
    return np.concatenate([np.ones((len(survival), 1)), survival[:, :bounded]], axis=1)
