"""What a cohort is: patients with survival and covariates, and the modalities each of them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.modality import Modality, Rows
from survbench.errors import CohortError

COVARIATES = ("age", "sex", "histology", "site")
OUTCOME = ("time", "event")


@dataclass(frozen=True)
class CohortInfo:
    """What is known of a cohort beside its patients; see the cohort folder's cohort.toml."""

    endpoint: str = "overall survival"
    units: str = "months"
    horizon_months: float | None = None
    standardise: tuple[str, ...] = ()
    default_splits: str | None = None
    data_hash: str = ""
    embedded: bool = False
    simulated: bool = False
    note: str = ""
    provenance: str = ""
    cohort_level_preprocessing: str = ""
    encoder_saw_tcga: str = "unknown"
    dropped: Mapping[str, str] = field(default_factory=dict)
    truth: pd.DataFrame | None = None


@dataclass(frozen=True, eq=False)
class Cohort:
    """Patients, their outcome, and their modalities.

    Parameters
    ----------
    name : str
        Name of the cohort.
    cases : DataFrame
        Indexed by case_id: time (months, > 0), event (True = death seen), and any of age, sex,
        histology, site. What a method gets to predict has neither time nor event.
    modalities : mapping of name to Bags or GeneGroups
        Each as long as `cases`.
    info : CohortInfo
        Endpoint, horizon, hashes and where it came from.
    fold : int or None
        Fold these patients are the training part of.
    """

    name: str
    cases: pd.DataFrame
    modalities: Mapping[str, Modality]
    info: CohortInfo = field(default_factory=CohortInfo)
    fold: int | None = None

    def __post_init__(self) -> None:
        for name, modality in self.modalities.items():
            if len(modality) != len(self.cases):
                msg = f"{self.name}: {len(self.cases)} cases, but {len(modality)} in {name!r}"
                raise CohortError(msg)
        repeated = self.cases.index[self.cases.index.duplicated()]
        if len(repeated):
            msg = f"{self.name}: case {repeated[0]!r} stands twice; one row per patient"
            raise CohortError(msg)

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def case_id(self) -> NDArray[np.str_]:
        """Case ids, (N,)."""
        return self.cases.index.to_numpy(dtype=str)

    @property
    def time(self) -> NDArray[np.float64]:
        """Months to death or to the last contact, (N,)."""
        return self.cases["time"].to_numpy(np.float64)

    @property
    def event(self) -> NDArray[np.bool_]:
        """Whether the death was seen, (N,)."""
        return self.cases["event"].to_numpy(bool)

    @property
    def present(self) -> pd.DataFrame:
        """Who has which modality, bool (N, M)."""
        return pd.DataFrame(
            {name: modality.present for name, modality in self.modalities.items()},
            index=self.cases.index,
            dtype=bool,
        )

    @property
    def paired(self) -> NDArray[np.bool_]:
        """Who has every modality of the cohort, (N,)."""
        return np.asarray(self.present.to_numpy().all(axis=1), bool)

    def select(self, rows: Rows) -> Cohort:
        """Cohort of the given patients (indices or a mask), in that order; no features copied."""
        return replace(
            self,
            cases=self.cases.iloc[np.flatnonzero(rows) if _is_mask(rows) else np.asarray(rows)],
            modalities={name: mod.select(rows) for name, mod in self.modalities.items()},
        )

    def absent(self, masks: Mapping[str, NDArray[np.bool_]]) -> Cohort:
        """Cohort in which those in masks[name] (N,) lack that modality."""
        return replace(
            self,
            modalities={
                name: mod.absent(masks[name]) if name in masks else mod
                for name, mod in self.modalities.items()
            },
        )


def _is_mask(rows: Rows) -> bool:
    return np.asarray(rows).dtype == bool
