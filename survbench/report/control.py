"""The negative control: on permuted outcomes a method must land at 0.5, and p-values at chance.

A run with `--control permute` fits every method on outcomes that changed hands within each fold;
its seed names the permutation. Nothing can be learnt, so the mean C-index over permutations tests
the suite and the method for leaks, and the share of small p-values is the level a test really has.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from tabulate import tabulate

from survbench.bench.kept import KeptFit
from survbench.score import summarise

LEVEL = 0.05
TOLERATED = 3.0  # standard errors from 0.5
HEADER = [
    "cohort",
    "method",
    "missing",
    "permutations",
    "C-index",
    "SE",
    "z",
    "pooled",
    "stratified",
]
LABELS = 3  # of its columns, the first; the others are numbers
CAPTION = (
    "Negative control: outcomes permuted among the patients of each fold; every seed is another "
    "permutation. These are no results of the methods.\n"
    "C-index: mean over permutations; SE: its standard error; z: (mean - 0.5) / SE, to lie within "
    f"±{TOLERATED:g}.\n"
    f"p < {LEVEL:g}: share of permutations in which the log-rank test (pooled, stratified by fold) "
    "calls risk groups different; a test at its nominal level does so in 5 %."
)


@dataclass(frozen=True)
class Permutation:
    """One setting under one regime, on one permutation of the outcomes.

    Parameters
    ----------
    cohort, method, setting, preset, regime : str
        What was run.
    seed, folds : int
        Which permutation, and how many folds were averaged.
    c_index, logrank_p, logrank_p_stratified : float
        As in a row of a leaderboard; p is NaN where all patients have one risk.
    """

    cohort: str
    method: str
    setting: str
    preset: str
    regime: str
    seed: int
    folds: int
    c_index: float
    logrank_p: float
    logrank_p_stratified: float

    @property
    def key(self) -> tuple[str, bool, str, str, str, int]:
        """What tells permutations apart, in the order of tables: nothing missing comes first."""
        regime = (self.regime != "none", self.regime)
        return self.cohort, *regime, self.method, self.setting, self.seed


@dataclass(frozen=True)
class ControlRow:
    """One setting under one regime, over all permutations that were run.

    Parameters
    ----------
    cohort, method, setting, regime : str
        What was run.
    permutations : int
        Seeds with every fold.
    c_index, error : float
        Mean over permutations, and its standard error (NaN for a single one).
    pooled, stratified : float
        Share of permutations whose log-rank p is below `LEVEL`.
    """

    cohort: str
    method: str
    setting: str
    regime: str
    permutations: int
    c_index: float
    error: float
    pooled: float
    stratified: float

    @property
    def z(self) -> float:
        """Distance from 0.5 in standard errors; 0 where every permutation gives exactly 0.5."""
        away = self.c_index - 0.5
        return away / self.error if self.error else math.copysign(math.inf, away) if away else 0.0


def is_control(fit: KeptFit) -> bool:
    """Whether a fit was made on permuted outcomes."""
    setting: Mapping[str, object] = fit.record["setting"]
    return setting.get("control", "none") != "none"


def permutations(fits: Iterable[KeptFit]) -> list[Permutation]:
    """Permutations among fits of which every fold is predicted, sorted.

    Raises
    ------
    ResultError
        A file is damaged.
    """
    by_setting: dict[tuple[str, str, str, str], list[KeptFit]] = defaultdict(list)
    for fit in fits:
        if is_control(fit):
            for regime in fit.regimes:
                by_setting[fit.cohort, fit.method, fit.setting, regime].append(fit)
    found = [one for name, same in by_setting.items() for one in _scored(name[-1], same)]
    return sorted(found, key=lambda one: one.key)


def _scored(regime: str, fits: Sequence[KeptFit]) -> Iterator[Permutation]:
    """Whole permutations of one setting under a regime."""
    folds = {fit.fold for fit in fits}
    seeds: dict[int, list[KeptFit]] = defaultdict(list)
    for fit in fits:
        seeds[fit.seed].append(fit)
    for seed, whole in seeds.items():
        if len(whole) < len(folds):
            continue
        found = summarise([fit.scorable(regime) for fit in whole], None)
        first = whole[0]
        yield Permutation(
            cohort=first.cohort,
            method=first.method,
            setting=first.setting,
            preset=first.record["preset"],
            regime=regime,
            seed=seed,
            folds=len(folds),
            c_index=found.c_index.value,
            logrank_p=found.logrank_p.value,
            logrank_p_stratified=found.logrank_p_stratified.value,
        )


def control_rows(found: Sequence[Permutation]) -> list[ControlRow]:
    """Rows of the negative controls, by cohort, regime and method."""
    ordered = sorted(found, key=lambda one: one.key)
    return [_row(list(each)) for _, each in groupby(ordered, key=lambda one: one.key[:-1])]


def _row(found: Sequence[Permutation]) -> ControlRow:
    c_index = np.array([one.c_index for one in found])
    spread = float(c_index.std(ddof=1)) if len(found) > 1 else math.nan
    return ControlRow(
        cohort=found[0].cohort,
        method=found[0].method,
        setting=found[0].setting,
        regime=found[0].regime,
        permutations=len(found),
        c_index=float(c_index.mean()),
        error=spread / math.sqrt(len(found)),
        pooled=_share([one.logrank_p for one in found]),
        stratified=_share([one.logrank_p_stratified for one in found]),
    )


def _share(p_values: Sequence[float]) -> float:
    """Share below `LEVEL`; where all patients have one risk there is no test, so no rejection."""
    return float(np.mean([p < LEVEL for p in p_values]))


def render_control(rows: Sequence[ControlRow]) -> str:
    """Text table of the rows; ends with a newline."""
    if not rows:
        return (
            "no negative control is there of which every fold was predicted; run 'survbench run "
            "--control permute', with --retry-failed where fits failed\n"
        )
    body = [control_cells(row) for row in rows]
    align = ["left"] * LABELS + ["right"] * (len(HEADER) - LABELS)
    table = tabulate(body, HEADER, "simple", colalign=align, disable_numparse=True)
    return f"{table}\n\n{CAPTION}\n"


def control_cells(row: ControlRow) -> list[str]:
    """Text of a row under `HEADER`."""
    return [
        row.cohort,
        row.method,
        row.regime,
        str(row.permutations),
        f"{row.c_index:.3f}",
        f"{row.error:.3f}" if math.isfinite(row.error) else "-",
        f"{row.z:+.1f}" if math.isfinite(row.z) else "-",
        f"{row.pooled:.2f}",
        f"{row.stratified:.2f}",
    ]
