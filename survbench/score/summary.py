"""The numbers of one leaderboard row: scores per fold and seed, and how they are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from survbench.errors import ResultError
from survbench.score.brier import integrated_brier_score
from survbench.score.concordance import harrell
from survbench.score.ipcw import auc, censoring_of, uno_c
from survbench.score.logrank import high_risk, pooled, stratified_p
from survbench.score.predictions import Array, FoldPredictions, Mask, Score


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
        logrank_p=_median([_pooled([grid[f, s] for f in folds]) for s in seeds]),
        logrank_p_stratified=_median([_stratified([grid[f, s] for f in folds]) for s in seeds]),
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


def _pooled(folds: Sequence[FoldPredictions]) -> Score:
    return pooled(*_joined(folds))


def _stratified(folds: Sequence[FoldPredictions]) -> Score:
    stratum = np.repeat([cell.fold for cell in folds], [len(cell) for cell in folds])
    return stratified_p(*_joined(folds), stratum)


def _joined(
    folds: Sequence[FoldPredictions],
) -> tuple[Array, Mask, Mask]:
    """Time, event and risk group (N,) of all folds, cut at the median risk of each."""
    return (
        np.concatenate([cell.time for cell in folds]),
        np.concatenate([cell.event for cell in folds]),
        np.concatenate([high_risk(cell.risk) for cell in folds]),
    )
