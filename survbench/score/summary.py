"""The numbers of one leaderboard row: scores per fold and seed, and how they are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from survbench.errors import ResultError
from survbench.score.brier import integrated_brier_score
from survbench.score.calibration import calibration_at, calibration_horizon, d_calibration
from survbench.score.concordance import harrell
from survbench.score.groups import NO_CUT, Cut, by_seed, risk_groups
from survbench.score.ipcw import auc, censoring_of, uno_c
from survbench.score.logrank import hazard_ratio, pooled, stratified_p
from survbench.score.predictions import Estimate, FoldPredictions, Score


@dataclass(frozen=True)
class FoldScores:
    """Scores of one fit on its test fold."""

    c_index: Score
    uno_c: Score
    ibs: Score
    auc: Score


@dataclass(frozen=True)
class Summary:
    """Scores of one setting under one regime.

    Parameters
    ----------
    folds, seeds : tuple of int
        What was averaged over.
    n, events : int
        Test patients of all folds, and their deaths.
    c_index, uno_c, ibs, auc : Score
        Mean over folds of the mean over seeds; NaN where any of them is, with its reason.
    c_index_std : float
        Standard deviation (ddof 0) over folds of the seed means; not a standard error.
    c_index_seed_std : float
        Standard deviation (ddof 0) over seeds of the fold means.
    logrank_p, logrank_p_stratified : Score
        Groups cut at the median risk of each test fold; the median over seeds of the p-values.
    hazard_ratio : Estimate
        High over low risk at that cut, stratified by fold; medians over seeds.
    deployable_p : Score
        Like `logrank_p_stratified`, cut at the median risk of each training fold.
    deployable_hazard_ratio : Estimate
        Like `hazard_ratio`, at that cut.
    d_calibration_p : Score
        The median over seeds.
    calibration_horizon : float or None
        Months at which the next two are taken.
    calibration_slope : Estimate
        1 where predictions are neither too extreme nor too alike; the median over seeds.
    calibration_error : Score
        Mean distance of predicted and observed survival; the median over seeds.
    cells : mapping of (fold, seed) to FoldScores
        What the means are made of.
    """

    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    n: int
    events: int
    c_index: Score
    c_index_std: float
    c_index_seed_std: float
    uno_c: Score
    ibs: Score
    auc: Score
    logrank_p: Score
    logrank_p_stratified: Score
    hazard_ratio: Estimate
    deployable_p: Score
    deployable_hazard_ratio: Estimate
    d_calibration_p: Score
    calibration_horizon: float | None
    calibration_slope: Estimate
    calibration_error: Score
    cells: dict[tuple[int, int], FoldScores] = field(default_factory=dict)


def score_fold(fold: FoldPredictions, horizon: float | None) -> FoldScores:
    """Scores of one fit; the horizon is the cohort's, in months."""
    censoring = censoring_of(fold)
    return FoldScores(
        c_index=harrell(fold.time, fold.event, fold.risk),
        uno_c=uno_c(fold, horizon, censoring),
        ibs=integrated_brier_score(fold, censoring),
        auc=auc(fold, horizon, censoring),
    )


def summarise(cells: Sequence[FoldPredictions], horizon: float | None) -> Summary:
    """Scores of a whole row: every seed on every fold, once.

    Raises
    ------
    ResultError
        A fold lacks a seed, stands twice, or its seeds predict different patients.
    """
    grid = _grid(cells)
    folds = tuple(sorted({cell.fold for cell in cells}))
    seeds = tuple(sorted({cell.seed for cell in cells}))
    scores = {place: score_fold(cell, horizon) for place, cell in grid.items()}
    c_index = np.array([[scores[f, s].c_index.value for s in seeds] for f in folds])  # (F, S)
    first = [grid[fold, seeds[0]] for fold in folds]
    of_seeds = by_seed(cells)
    months = calibration_horizon(cells, horizon)
    at_horizon = [calibration_at(folds, months) for folds in of_seeds]
    return Summary(
        folds=folds,
        seeds=seeds,
        n=sum(len(cell) for cell in first),
        events=int(sum(cell.event.sum() for cell in first)),
        c_index=_mean(scores, lambda cell: cell.c_index),
        c_index_std=float(c_index.mean(axis=1).std()),
        c_index_seed_std=float(c_index.mean(axis=0).std()),
        uno_c=_mean(scores, lambda cell: cell.uno_c),
        ibs=_mean(scores, lambda cell: cell.ibs),
        auc=_mean(scores, lambda cell: cell.auc),
        logrank_p=_median([_pooled(folds) for folds in of_seeds]),
        logrank_p_stratified=_median([_stratified(folds, "test") for folds in of_seeds]),
        hazard_ratio=_median_estimate([_hazard_ratio(folds, "test") for folds in of_seeds]),
        deployable_p=_median([_stratified(folds, "train") for folds in of_seeds]),
        deployable_hazard_ratio=_median_estimate(
            [_hazard_ratio(folds, "train") for folds in of_seeds]
        ),
        d_calibration_p=_median([d_calibration(folds).p_value for folds in of_seeds]),
        calibration_horizon=months,
        calibration_slope=_median_estimate([one.slope for one in at_horizon]),
        calibration_error=_median([one.error for one in at_horizon]),
        cells=scores,
    )


def _grid(cells: Sequence[FoldPredictions]) -> dict[tuple[int, int], FoldPredictions]:
    """Cells by (fold, seed), complete and with the same patients in all seeds of a fold."""
    grid = {(cell.fold, cell.seed): cell for cell in cells}
    wanted = {(fold, seed) for fold, _ in grid for _, seed in grid}
    lacking = sorted(wanted - set(grid))
    if not grid or len(grid) < len(cells) or lacking:
        what = f"seed {lacking[0][1]} of fold {lacking[0][0]} is missing" if lacking else ""
        msg = f"cannot average: {what or 'each seed must stand once per fold'}; run what is missing"
        raise ResultError(msg)
    patients: dict[int, frozenset[str]] = {}
    for (fold, seed), cell in sorted(grid.items()):
        here = frozenset(cell.case_id.tolist())
        if patients.setdefault(fold, here) != here:
            case = sorted(patients[fold] ^ here)[0]
            msg = f"fold {fold}: seed {seed} predicts other patients than other seeds, see {case!r}"
            raise ResultError(msg)
    return grid


def _mean(scores: dict[tuple[int, int], FoldScores], pick: Callable[[FoldScores], Score]) -> Score:
    """Mean of a complete grid; the first cell without a number takes the mean's away."""
    for (fold, seed), cell in sorted(scores.items()):
        if not np.isfinite(pick(cell).value):
            return Score.none(f"fold {fold}, seed {seed}: {pick(cell).reason}")
    return Score(float(np.mean([pick(cell).value for cell in scores.values()])))


def _median(scores: Sequence[Score]) -> Score:
    without = [score for score in scores if not np.isfinite(score.value)]
    return without[0] if without else Score(float(np.median([score.value for score in scores])))


def _median_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """Medians of the values and of both bounds."""
    without = [one for one in estimates if not np.isfinite(one.value)]
    if without:
        return without[0]
    value, low, high = np.median([(one.value, one.low, one.high) for one in estimates], axis=0)
    return Estimate(float(value), float(low), float(high))


def _pooled(folds: Sequence[FoldPredictions]) -> Score:
    """Of one seed, cut at the median of each test fold."""
    groups = risk_groups(folds)
    return Score.none(NO_CUT) if groups is None else pooled(groups.time, groups.event, groups.high)


def _stratified(folds: Sequence[FoldPredictions], cut: Cut) -> Score:
    groups = risk_groups(folds, cut)
    if groups is None:
        return Score.none(NO_CUT)
    return stratified_p(groups.time, groups.event, groups.high, groups.fold)


def _hazard_ratio(folds: Sequence[FoldPredictions], cut: Cut) -> Estimate:
    groups = risk_groups(folds, cut)
    if groups is None:
        return Estimate.none(NO_CUT)
    return hazard_ratio(groups.time, groups.event, groups.high, groups.fold)
