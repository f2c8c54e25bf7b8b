"""Risk groups of a row, pooled over its folds: a high and a low one, by either of two cuts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from survbench.score.predictions import Array, FoldPredictions, Mask

Cut = Literal["test", "train"]
NO_CUT = "the median risk of the training patients was not recorded; run the cell again"


@dataclass(frozen=True, eq=False)
class RiskGroups:
    """Patients of all folds of one seed, each in the high or the low risk group.

    Parameters
    ----------
    time, event : array (N,)
        Months and whether death was seen.
    high : array (N,)
        Who is in the high risk group.
    fold : array (N,)
        The fold of each patient.
    """

    time: Array
    event: Mask
    high: Mask
    fold: NDArray[np.int64]


def high_risk(risk: Array, cut: float | None = None) -> Mask:
    """Who is above the cut (N,); the median of these risks unless another cut is given."""
    return np.asarray(risk > (np.median(risk) if cut is None else cut))


def risk_groups(folds: Sequence[FoldPredictions], cut: Cut = "test") -> RiskGroups | None:
    """Groups of one seed's folds; None where the cut was not recorded (`NO_CUT`).

    Parameters
    ----------
    folds : sequence of FoldPredictions
        Every fold of one seed.
    cut : "test" or "train"
        Each fold is cut at the median risk of its test patients, as in the papers, or at that of
        its training patients, which is known before any test patient comes: it could be deployed.
    """
    if cut == "train" and any(cell.train_median_risk is None for cell in folds):
        return None
    return RiskGroups(
        time=np.concatenate([cell.time for cell in folds]),
        event=np.concatenate([cell.event for cell in folds]),
        high=np.concatenate(
            [
                high_risk(cell.risk, None if cut == "test" else cell.train_median_risk)
                for cell in folds
            ]
        ),
        fold=np.repeat([cell.fold for cell in folds], [len(cell) for cell in folds]),
    )


def by_seed(cells: Sequence[FoldPredictions]) -> list[list[FoldPredictions]]:
    """Cells of each seed by rising seed, each by rising fold."""
    seeds: dict[int, list[FoldPredictions]] = defaultdict(list)
    for cell in sorted(cells, key=lambda cell: cell.fold):
        seeds[cell.seed].append(cell)
    return [seeds[seed] for seed in sorted(seeds)]


def middle_seed(
    cells: Sequence[FoldPredictions], number: Callable[[Sequence[FoldPredictions]], float]
) -> list[FoldPredictions]:
    """Folds of the seed whose number is the lower median: what a figure of one seed shows.

    Seeds whose number is NaN come last; of equal ones the smaller seed is taken.
    """
    seeds = by_seed(cells)
    numbers = np.array([number(folds) for folds in seeds])
    defined = max(1, int(np.isfinite(numbers).sum()))
    return seeds[int(np.argsort(numbers, kind="stable")[(defined - 1) // 2])]
