"""Bootstrap intervals of the tabulated C-index, and paired comparisons against one reference.

Patients are resampled within folds, the same draw for all rows, seeds and regimes; the fitted
models stay as they are. The statistic is the mean over folds of the mean over seeds of the fold's
C-index. A patient drawn w times makes w copies of each of their pairs, so a resample is a vector of
weights over pairs that were found once: numbers of a draw are two matrix products.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survbench.errors import ResultError
from survbench.score.concordance import Pairs, comparable_pairs
from survbench.score.predictions import Array, FoldPredictions, Mask
from survbench.streams import seed_of

DRAWS = 1000
LEVEL = 0.95
_CHUNK = 2**22  # weights of pairs held at once


@dataclass(frozen=True)
class Comparison:
    """A row against the reference: difference of C-index, its interval, and p-values.

    Parameters
    ----------
    difference, low, high : float
        C-index of the row minus that of the reference.
    p_value : float
        Two-sided bootstrap p-value.
    p_holm : float
        The same after Holm's correction over the family.
    """

    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float


@dataclass(frozen=True, eq=False)
class _Roster:
    """Every patient of a fold that any row predicts, with their outcome."""

    case_id: NDArray[np.str_]  # sorted
    time: Array
    event: Mask


def bootstrap(
    rows: Sequence[Sequence[FoldPredictions]], *, draws: int = DRAWS, seed: int = 0
) -> Array:
    """C-index (draws, R) of R rows on resampled patients; NaN where a fold has no pair left.

    Parameters
    ----------
    rows : sequence of sequences of FoldPredictions
        Each row holds all seeds and folds it is averaged over; rows share their patients.
    draws : int
        Number of resamples.
    seed : int
        Names the stream of draws; a fold's draw depends on it, the fold and its patients only.

    Raises
    ------
    ResultError
        Two rows disagree on the outcome of a patient.
    """
    return _over_folds(rows, draws, lambda fold, n: fold_weights(fold, n, draws, seed))


def c_indices(rows: Sequence[Sequence[FoldPredictions]]) -> Array:
    """C-index (R,) of R rows on the patients as they are: what `bootstrap` resamples."""
    return np.asarray(_over_folds(rows, 1, lambda _, n: np.ones((1, n)))[0])


def fold_weights(fold: int, patients: int, draws: int, seed: int = 0) -> Array:
    """How often each patient of a fold is drawn, (draws, N); each row sums to N."""
    stream = np.random.default_rng(seed_of("bootstrap", seed, fold))
    return stream.multinomial(patients, np.full(patients, 1 / patients), draws).astype(np.float64)


def weighted_c_index(weights: Array, pairs: Pairs, credit: Array, counted: Array) -> Array:
    """C-index (draws, R) of R columns of credit (M, R) under weights (draws, N) of patients.

    Parameters
    ----------
    weights : array (draws, N)
        Multiplicity of each patient.
    pairs : Pairs
        The M comparable pairs of the fold.
    credit : array (M, R)
        Mean credit of each pair over the seeds of a row, 0 where it is not counted.
    counted : array (M, R)
        1 where a row predicts both patients of the pair, else 0.
    """
    first: dict[bytes, int] = {}  # rows that count the same pairs share a denominator
    back = [first.setdefault(column.tobytes(), len(first)) for column in counted.T]
    asked = counted[:, [back.index(place) for place in range(len(first))]]
    columns = np.concatenate([credit, asked], axis=1)
    step = max(1, _CHUNK // max(1, len(pairs)))
    sums = np.empty((len(weights), columns.shape[1]))
    for start in range(0, len(weights), step):
        part = weights[start : start + step]
        sums[start : start + step] = (part[:, pairs.earlier] * part[:, pairs.later]) @ columns
    rows = credit.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[:, :rows] / sums[:, rows:][:, back])


def interval(statistic: Array, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of draws (B,); NaN where fewer than half of them are defined."""
    defined = statistic[np.isfinite(statistic)]
    if 2 * len(defined) < max(len(statistic), 1):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compare(statistic: Array, reference: Array, observed: Array) -> list[Comparison]:
    """Paired comparison of the rows of one family against their reference.

    Parameters
    ----------
    statistic : array (draws, R)
        `bootstrap` of the family's rows.
    reference : array (draws,)
        `bootstrap` of the reference, same call.
    observed : array (R,)
        C-index of each row minus that of the reference.
    """
    difference = statistic - reference[:, None]
    p_values = np.array([_two_sided(column) for column in difference.T])
    adjusted = holm(p_values)
    return [
        Comparison(float(value), *interval(column), float(p), float(p_holm))
        for value, column, p, p_holm in zip(observed, difference.T, p_values, adjusted, strict=True)
    ]


def holm(p_values: Array) -> Array:
    """Holm's step-down adjusted p-values (R,)."""
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _two_sided(difference: Array) -> float:
    """Twice the smaller tail at 0; one draw is added to it, so that it is never 0."""
    defined = difference[np.isfinite(difference)]
    tail = min((defined <= 0).sum(), (defined >= 0).sum())
    return min(1.0, 2 * (float(tail) + 1) / (len(defined) + 1))


def _over_folds(
    rows: Sequence[Sequence[FoldPredictions]], draws: int, weigh: Callable[[int, int], Array]
) -> Array:
    """Mean over folds of the C-index (draws, R) under weights (draws, N) of a fold's N patients."""
    cells: dict[int, dict[int, list[FoldPredictions]]] = defaultdict(lambda: defaultdict(list))
    for position, row in enumerate(rows):
        for cell in row:
            cells[cell.fold][position].append(cell)
    total = np.zeros((draws, len(rows)))
    folds = np.zeros(len(rows))
    for fold, by_row in sorted(cells.items()):
        positions = sorted(by_row)
        total[:, positions] += _one_fold(fold, [by_row[at] for at in positions], weigh)
        folds[positions] += 1
    with np.errstate(invalid="ignore"):
        return np.asarray(total / folds)


def _one_fold(
    fold: int, rows: Sequence[Sequence[FoldPredictions]], weigh: Callable[[int, int], Array]
) -> Array:
    """C-index (draws, R) of one fold."""
    roster = _roster(fold, rows)
    pairs = comparable_pairs(roster.time, roster.event)
    weights = weigh(fold, len(roster.case_id))
    parts = [_mean_credit(row, roster, pairs) for row in rows]
    credit, counted = (np.stack(part, axis=1) for part in zip(*parts, strict=True))
    return weighted_c_index(weights, pairs, credit, counted)


def _mean_credit(
    row: Sequence[FoldPredictions], roster: _Roster, pairs: Pairs
) -> tuple[Array, Array]:
    """Credit (M,) of one row's seeds, averaged, and which pairs it counts (M,).

    The seeds of a row predict the same patients, so their C-indices share a denominator and the
    mean of the C-indices is the C-index of the mean credit.
    """
    credit = np.zeros(len(pairs))
    here = np.zeros(len(roster.case_id), bool)
    here[np.searchsorted(roster.case_id, row[0].case_id)] = True
    counted = (here[pairs.earlier] & here[pairs.later]).astype(np.float64)
    for cell in row:
        risk = np.zeros(len(roster.case_id))
        risk[np.searchsorted(roster.case_id, cell.case_id)] = cell.risk
        credit += pairs.credit(risk)
    return credit * counted / len(row), counted


def _roster(fold: int, rows: Sequence[Sequence[FoldPredictions]]) -> _Roster:
    """Union of the patients of all rows, and a check that rows agree on their outcome."""
    cells = [cell for row in rows for cell in row]
    case_id, time, event = (
        np.concatenate([getattr(cell, name) for cell in cells])
        for name in ("case_id", "time", "event")
    )
    known, first, back = np.unique(case_id, return_index=True, return_inverse=True)
    differs = (time != time[first][back]) | (event != event[first][back])
    if differs.any():
        msg = (
            f"fold {fold}: predictions disagree on time or event of case "
            f"{case_id[differs][0]!r}; rows of one table must come from the same cohort"
        )
        raise ResultError(msg)
    return _Roster(known, time[first], event[first])
