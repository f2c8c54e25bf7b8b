"""The negative control: on permuted outcomes a method must land at 0.5, and p-values at chance.

A run with `--control permute` fits every method on outcomes that changed hands within each fold;
its seed names the permutation. Nothing can be learnt, so the mean C-index over permutations tests
the suite and the method for leaks, and the share of small p-values is the level a test really has.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from survbench.bench.cell import find_cells
from survbench.bench.kept import KeptFit
from survbench.score import FoldPredictions, summarise

LEVEL = 0.05
TOLERATED = 3.0  # standard errors from 0.5
CAPTION = (
    "Negative control: outcomes permuted among the patients of each fold; every seed is another "
    "permutation. These are no results of the methods.\n"
    "C-index: mean over permutations; SE: its standard error; z: (mean - 0.5) / SE, to lie within "
    f"±{TOLERATED:g}.\n"
    f"p < {LEVEL:g}: share of permutations in which the log-rank test (pooled, stratified by fold) "
    "calls risk groups different; a test at its nominal level does so in 5 %."
)


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


def control_rows(results_dir: str | Path, *, cohort: str | None = None) -> list[ControlRow]:
    """Rows of the negative controls in a results folder, by cohort, regime and method.

    A permutation counts once every fold of it is predicted.

    Raises
    ------
    ResultError
        There is no such folder, or a file in it is damaged.
    """
    by_row: dict[tuple[str, str, str, str], list[KeptFit]] = defaultdict(list)
    for fit in find_cells(results_dir, cohort):
        if is_control(fit):
            for regime in fit.regimes:
                by_row[fit.cohort, regime, fit.method, fit.setting].append(fit)
    order = sorted(by_row, key=lambda name: (name[0], name[1] != "none", *name[1:]))
    rows = [_row(name, by_row[name]) for name in order]
    return [row for row in rows if row is not None]


def _row(name: tuple[str, str, str, str], fits: Sequence[KeptFit]) -> ControlRow | None:
    cohort, regime, method, setting = name
    folds = {fit.fold for fit in fits}
    seeds: dict[int, list[FoldPredictions]] = defaultdict(list)
    for fit in fits:
        seeds[fit.seed].append(fit.scorable(regime))
    whole = [cells for cells in seeds.values() if len(cells) == len(folds)]
    if not whole:
        return None
    found = [summarise(cells, None) for cells in whole]
    c_index = np.array([one.c_index.value for one in found])
    spread = float(c_index.std(ddof=1)) if len(found) > 1 else math.nan
    return ControlRow(
        cohort=cohort,
        method=method,
        setting=setting,
        regime=regime,
        permutations=len(found),
        c_index=float(c_index.mean()),
        error=spread / math.sqrt(len(found)),
        pooled=_share([one.logrank_p.value for one in found]),
        stratified=_share([one.logrank_p_stratified.value for one in found]),
    )


def _share(p_values: Sequence[float]) -> float:
    """Share below `LEVEL`; where all patients have one risk there is no test, so no rejection."""
    return float(np.mean([p < LEVEL for p in p_values]))


def render_control(rows: Sequence[ControlRow]) -> str:
    """Text table of the rows; ends with a newline."""
    if not rows:
        return "no negative control was run; see 'survbench run --control permute'\n"
    header = ["cohort", "method", "missing", "n", "C-index", "SE", "z", "pooled", "stratified"]
    body = [
        [
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
        for row in rows
    ]
    align = ["left"] * 3 + ["right"] * 6
    table = tabulate(body, header, "simple", colalign=align, disable_numparse=True)
    return f"{table}\n\n{CAPTION}\n"
