"""Ridge Cox on covariates: what the controls that read no modality share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survbench.cohort import Cohort
from survbench.errors import InputError
from survbench.learn.ridge_cox import Array, RidgeCox, fit_columns
from survbench.method import Method, Prediction

_DECADE = 10.0  # years a step of the age column, so that it spreads like a one-hot column


class CovariateCox(Method):
    """Ridge Cox on the declared covariates: age per decade, text as one column per category.

    Categories are those of the training fold; another one, or a blank, has none of their columns
    set. A blank age is the training mean. A covariate that is blank throughout is not used.
    """

    tolerates = frozenset()
    transforms = False

    def fit_cases(self, cohort: Cohort) -> None:
        """Fit on every covariate of `uses` that the cohort has."""
        names = [name for name in sorted(self.uses) if _has(cohort, name)]
        columns = [column for name in names for column in _columns_of(cohort, name)]
        blocks = covariate_blocks(cohort, columns)
        self.model = fit_columns(blocks, cohort.time, cohort.event)
        self.record |= {"parameters": len(columns), "penalty": self.model.penalty}

    def predict_cases(self, cohort: Cohort) -> Prediction:
        """Log hazard ratio against the training mean, and survival up to the last edge."""
        risk = self.model.risk(covariate_blocks(cohort, list(self.model.centre)))
        return Prediction(cohort.case_id, risk, self.model.survival(risk), self.model.edges)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays of the fitted model, named by column."""
        return dict(self.model.state())

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the fitted model back."""
        self.model = RidgeCox.restore(state)


def covariate_blocks(cohort: Cohort, columns: list[str]) -> dict[str, Array]:
    """One block (N, 1) per column: "age" in decades, or "name=category" as 0 or 1."""
    blocks = {}
    for column in columns:
        name, _, category = column.partition("=")
        if name not in cohort.cases:
            msg = f"cohort {cohort.name!r} has no covariate {name!r}, which the fit used; add it"
            raise InputError(msg)
        values = cohort.cases[name]
        if name == "age":
            block = values.to_numpy(np.float64) / _DECADE
        else:
            block = np.asarray(values.astype(str) == category, np.float64)
        blocks[column] = block[:, None]
    return blocks


def _has(cohort: Cohort, name: str) -> bool:
    return name in cohort.cases and bool(_filled(cohort, name).any())


def _filled(cohort: Cohort, name: str) -> NDArray[np.bool_]:
    """Who has the covariate, (N,): neither NaN nor blank."""
    values = cohort.cases[name]
    return np.asarray(values.notna() & (values.astype(str).str.strip() != ""), bool)


def _columns_of(cohort: Cohort, name: str) -> list[str]:
    """Columns of one covariate, categories sorted."""
    if name == "age":
        return ["age"]
    values = cohort.cases[name][_filled(cohort, name)].astype(str)
    return [f"{name}={category}" for category in sorted(set(values))]
