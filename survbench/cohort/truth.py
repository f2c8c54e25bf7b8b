"""The two rows only a simulated cohort can show: `oracle` and `attainable`.

Both answer for the patients and the modalities of the cohort they are given, masked in any way, so
that they stand beside methods scored on the same people. What they need is in `info.truth`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.cohort import Cohort
from survbench.errors import CohortError

MIN_EVENTS = 10  # fewest training deaths an attainable fit stands on
PENALTY = 1.0  # of the ridge; a few coefficients on about a hundred deaths need little


def oracle_column(present: Iterable[str]) -> str:
    """Column of the truth with the posterior mean log hazard given these modalities."""
    return f"oracle:{'+'.join(sorted(present))}"


def statistic_column(modality: str, latent: str) -> str:
    """Column of the truth with what a modality alone says about a latent."""
    return f"statistic:{modality}:{latent}"


def subsets(modalities: Iterable[str]) -> list[tuple[str, ...]]:
    """Every non-empty set of modalities, each sorted, smallest first."""
    names = sorted(modalities)
    return [s for size in range(1, len(names) + 1) for s in combinations(names, size)]


def oracle_risk(cohort: Cohort) -> NDArray[np.float64]:
    """Exact posterior mean (N,) of the log hazard given what each patient has in this cohort."""
    truth = _truth_of(cohort)
    risk = np.zeros(len(cohort))
    for present, rows in _by_presence(cohort):
        risk[rows] = truth[oracle_column(present)].to_numpy()[rows]
    return risk


def attainable_risk(train: Cohort, test: Cohort) -> NDArray[np.float64]:
    """Log hazard (N,) of the test patients by ridge Cox on the true statistics of what they have.

    One model per set of modalities present in `test`, fitted on those of `train` who have all of
    them. Where fewer than `MIN_EVENTS` of those died, the largest subset with enough deaths stands
    in, and where there is none the risk is 0, the mean. Both cohorts may be masked in any way.
    """
    known, asked = _truth_of(train), _truth_of(test)
    risk = np.zeros(len(test))
    for present, rows in _by_presence(test):
        for subset in reversed(subsets(present)):
            has = train.present[list(subset)].all(axis=1).to_numpy(bool)
            if train.event[has].sum() < MIN_EVENTS:
                continue
            columns = _statistic_columns(known, subset)
            model = _RidgeCox(known[columns].to_numpy()[has], train.event[has], train.time[has])
            risk[rows] = model.predict(asked[columns].to_numpy()[rows])
            break
    return risk


def _statistic_columns(truth: pd.DataFrame, modalities: Iterable[str]) -> list[str]:
    """Columns of the truth with the statistics of these modalities."""
    starts = tuple(statistic_column(name, "") for name in modalities)
    return [column for column in map(str, truth.columns) if column.startswith(starts)]


class _RidgeCox:
    """Ridge Cox whose prediction is 0 at the mean of its training patients."""

    def __init__(
        self, values: NDArray[np.float64], event: NDArray[np.bool_], time: NDArray[np.float64]
    ) -> None:
        from sksurv.linear_model import CoxPHSurvivalAnalysis  # noqa: PLC0415  (slow to import)
        from sksurv.util import Surv  # noqa: PLC0415

        self.mean = values.mean(axis=0)
        model = CoxPHSurvivalAnalysis(alpha=PENALTY)
        model.fit(values - self.mean, Surv.from_arrays(event, time))
        self.weight = np.asarray(model.coef_, np.float64)

    def predict(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((values - self.mean) @ self.weight)


def _truth_of(cohort: Cohort) -> pd.DataFrame:
    """Truth of the cohort's patients, in their order."""
    truth = cohort.info.truth
    if truth is None:
        msg = f"cohort {cohort.name!r} is not simulated, its truth is unknown; use a demo cohort"
        raise CohortError(msg)
    unknown = cohort.cases.index.difference(truth.index)
    if len(unknown):
        msg = f"cohort {cohort.name!r}: no truth of case {unknown[0]!r}; simulate the cohort again"
        raise CohortError(msg)
    return truth.loc[cohort.cases.index]


def _by_presence(cohort: Cohort) -> list[tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Each set of modalities that some patient has, with the positions of those patients."""
    present = cohort.present
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, has in enumerate(present.to_numpy()):
        names = tuple(sorted(present.columns[has]))
        if names:
            groups.setdefault(names, []).append(position)
    return [(names, np.array(rows, np.int64)) for names, rows in groups.items()]
