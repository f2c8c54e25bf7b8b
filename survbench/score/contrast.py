"""Three paired differences of C-index that say what a missing modality costs, and their power.

    added value = complete - comparator    what the second modality adds to the first
    loss        = complete - missing       what a patient without it loses
    rescue      = missing  - comparator    what a multimodal method keeps above a unimodal floor

`complete` and `missing` are one setting without and with the modality missing; the comparator is
fixed in advance: linear Cox on the modality that is left (`COMPARATOR`). Added value is the sum of
the other two. Intervals come from the bootstrap of every other interval, with the same draws.

Power. Over resampled patients, the C-index is a mean over pairs within folds, so to first order its
variance, and that of a difference of two, falls as 1/n at a given share of events. With v the
bootstrap variance of a difference on n patients, m patients have standard error sqrt(v n / m), and
a two-sided test of level a finds a true difference d with probability
Phi(d / sqrt(v n / m) - z(1 - a/2)) (the other tail is negligible). Setting that to the power gives
m = v n ((z(1 - a/2) + z(power)) / d)^2. The observed difference is nowhere in it: power at what was
observed only restates the p-value (Hoenig & Heisey, The American Statistician 2001). Like the
intervals it is conditional on the fitted models: a study that fits them anew needs more patients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from scipy.special import ndtri

from survbench.errors import ResultError
from survbench.score.bootstrap import DRAWS, LEVEL, bootstrap, c_indices, interval
from survbench.score.predictions import Array, FoldPredictions, Score

# regime to the comparator's method and the config that it changes
COMPARATOR: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"P": ("cox", "use=G"), "G": ("cox", "use=P")}
)
DIFFERENCES = (0.02, 0.05)
POWER = 0.8
Compared: TypeAlias = tuple[
    Sequence[FoldPredictions], Sequence[FoldPredictions], Sequence[FoldPredictions]
]  # complete, missing, comparator
_SAME = 1e-12  # a standard deviation below this is rounding error


@dataclass(frozen=True)
class Needed:
    """Patients that would show a true difference of C-index with 80 % power at two-sided 5 %.

    Parameters
    ----------
    difference : float
        The true difference.
    patients, events : Score
        How many, at the share of events at hand, rounded up.
    """

    difference: float
    patients: Score
    events: Score


@dataclass(frozen=True)
class Contrast:
    """A paired difference of two C-indices.

    Parameters
    ----------
    name : str
        "added value", "loss" or "rescue".
    difference, low, high : float
        Observed, and its 95 % bootstrap interval, conditional on the fitted models.
    needed : tuple of Needed
        For differences of 0.02 and 0.05.
    """

    name: str
    difference: float
    low: float
    high: float
    needed: tuple[Needed, ...]

    @property
    def verdict(self) -> str:
        """'shown' or 'opposite' where the interval leaves 0 out, else 'not shown'."""
        if self.low > 0:
            return "shown"
        return "opposite" if self.high < 0 else "not shown"


def contrasts(
    asked: Sequence[Compared], *, draws: int = DRAWS, seed: int = 0
) -> list[tuple[Contrast, Contrast, Contrast]]:
    """Added value, loss and rescue of settings under a regime, each row resampled once.

    Parameters
    ----------
    asked : sequence of (complete, missing, comparator)
        All folds and seeds of a setting under `none`, of the same under the regime, and of the
        regime's `COMPARATOR`; all of them predict the same patients.
    draws, seed : int
        Of the bootstrap; the same draws as every other interval of this cohort.

    Raises
    ------
    ResultError
        Two rows do not predict the same patients in the same folds.
    """
    rows = list({id(row): row for compared in asked for row in compared}.values())
    if not rows:
        return []
    if reason := other_patients(rows):
        raise ResultError(reason)
    observed, drawn = c_indices(rows), bootstrap(rows, draws=draws, seed=seed)
    dead = {(cell.fold, case): event for cell in rows[0] for case, event in _outcomes(cell)}
    patients, events = len(dead), sum(dead.values())

    def contrast(name: str, of: int, against: int) -> Contrast:
        difference = drawn[:, of] - drawn[:, against]
        needed = tuple(patients_needed(difference, patients, events, d) for d in DIFFERENCES)
        value = float(observed[of] - observed[against])
        return Contrast(name, value, *interval(difference), needed)

    place = {id(row): number for number, row in enumerate(rows)}
    made = []
    for compared in asked:
        complete, missing, comparator = (place[id(row)] for row in compared)
        added = contrast("added value", complete, comparator)
        loss = contrast("loss", complete, missing)
        made.append((added, loss, contrast("rescue", missing, comparator)))
    return made


def patients_needed(
    drawn: Array, patients: int, events: int, difference: float, power: float = POWER
) -> Needed:
    """How many patients would show a difference, from the variance of the bootstrap only.

    Parameters
    ----------
    drawn : array (draws,)
        Paired difference of two C-indices on resampled patients.
    patients, events : int
        How many of them the draws were made from.
    difference : float
        The true difference that is to be found.
    power : float
        Probability of finding it.
    """
    defined = drawn[np.isfinite(drawn)]
    if 2 * len(defined) < max(len(drawn), 1):
        none = Score.none("the difference is undefined in most resamples")
        return Needed(difference, none, none)
    variance = float(defined.var())
    if variance < _SAME**2:
        none = Score.none("the two rows never differ")
        return Needed(difference, none, none)
    reach = float(ndtri((1 + LEVEL) / 2) + ndtri(power)) / difference
    many = math.ceil(variance * patients * reach**2)
    return Needed(difference, Score(float(many)), Score(float(math.ceil(many * events / patients))))


def _outcomes(cell: FoldPredictions) -> list[tuple[str, bool]]:
    return list(zip(cell.case_id.tolist(), cell.event.tolist(), strict=True))


def other_patients(rows: Sequence[Sequence[FoldPredictions]]) -> str:
    """How rows fail to predict the same patients, in all seeds, fold by fold; empty if they do."""
    wanted = {cell.fold: set(cell.case_id.tolist()) for cell in rows[0]}
    for row in rows:
        if {cell.fold for cell in row} != set(wanted):
            return (
                "the rows of a contrast stand on different folds; run the comparator, and both "
                "regimes, on every fold first"
            )
        for cell in row:
            other = sorted(set(cell.case_id.tolist()) ^ wanted[cell.fold])
            if other:
                return (
                    f"fold {cell.fold}, seed {cell.seed}: the rows of a contrast predict different "
                    f"patients, see {other[0]!r}; take a population that all of them can predict"
                )
    return ""
