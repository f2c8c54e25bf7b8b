"""C-index against the share of patients who miss a modality, exactly, without drawing masks.

Predictions do not depend on company, so when each patient misses the modality with probability p
the expected credit of a pair is a sum over who of the two misses it,
(1-p)^2 c00 + (1-p) p (c01 + c10) + p^2 c11, where c01 compares the earlier death predicted with
everything to the other predicted without, and so on. So a curve needs four numbers of each fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from survbench.errors import ResultError
from survbench.score.bootstrap import DRAWS, fold_weights, interval, weighted_c_index
from survbench.score.concordance import Pairs, comparable_pairs, credit
from survbench.score.predictions import Array, FoldPredictions

__all__ = ["Curve", "degradation"]

SHARES = np.linspace(0, 1, 21)


@dataclass(frozen=True, eq=False)
class Curve:
    """Expected C-index at each share of patients who miss a modality, with its interval.

    Parameters
    ----------
    share : array (S,)
        Probability with which each patient misses the modality.
    c_index, low, high : array (S,)
        Mean over folds of the mean over seeds, and the bootstrap interval over patients.
    """

    share: Array
    c_index: Array
    low: Array
    high: Array


def degradation(
    complete: Sequence[FoldPredictions],
    missing: Sequence[FoldPredictions],
    *,
    share: Array = SHARES,
    draws: int = DRAWS,
    seed: int = 0,
) -> Curve:
    """Curve from predictions of the same fits with everything, and without the modality.

    Parameters
    ----------
    complete, missing : sequence of FoldPredictions
        All folds and seeds of one setting under `none` and under the modality's regime.
    share : array (S,)
        Where the curve is wanted, within [0, 1].
    draws, seed : int
        Of the bootstrap; the same draws as every other interval of this cohort.

    Raises
    ------
    ResultError
        The two do not hold the same fits and patients.
    """
    without = {(cell.fold, cell.seed): cell for cell in missing}
    if sorted(without) != sorted((cell.fold, cell.seed) for cell in complete):
        msg = "the two regimes hold different folds or seeds; predict both for every cell first"
        raise ResultError(msg)
    folds = sorted({cell.fold for cell in complete})
    observed, drawn = np.zeros(4), np.zeros((draws, 4))
    for fold in folds:
        cells = [_in_order(cell) for cell in complete if cell.fold == fold]
        pairs = comparable_pairs(cells[0].time, cells[0].event)
        each = [_credits(cell, _in_order(without[fold, cell.seed]), pairs) for cell in cells]
        credits = np.mean(each, axis=0)  # (M, 4), of the seeds of a fold
        weights = fold_weights(fold, len(cells[0]), draws, seed)
        once, counted = np.ones((1, len(cells[0]))), np.ones_like(credits)
        observed += weighted_c_index(once, pairs, credits, counted)[0] / len(folds)
        drawn += weighted_c_index(weights, pairs, credits, counted) / len(folds)
    mix = np.stack([(1 - share) ** 2, (1 - share) * share, (1 - share) * share, share**2])
    bounds = np.array([interval(column) for column in (drawn @ mix).T])
    return Curve(share, observed @ mix, bounds[:, 0], bounds[:, 1])


def _in_order(cell: FoldPredictions) -> FoldPredictions:
    """The same patients by rising case id, as the draws of the bootstrap count them."""
    order = np.argsort(cell.case_id)
    case_id, time, event = cell.case_id[order], cell.time[order], cell.event[order]
    return replace(cell, case_id=case_id, time=time, event=event, risk=cell.risk[order])


def _credits(whole: FoldPredictions, lacking: FoldPredictions, pairs: Pairs) -> Array:
    """Credits (M, 4) of pairs: neither, the later, the earlier, both of them miss it."""
    if not np.array_equal(whole.case_id, lacking.case_id):
        msg = (
            f"fold {whole.fold}, seed {whole.seed}: the two regimes predict different patients; "
            "a curve needs a population in which everybody can be predicted both ways"
        )
        raise ResultError(msg)
    risks = (whole.risk, lacking.risk)
    return np.stack(
        [credit(first[pairs.earlier] - then[pairs.later]) for first in risks for then in risks],
        axis=1,
    )
