"""Whom a run trains and tests on: a cohort, its folds and a population."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from survbench.cohort import Cohort
from survbench.cohort.catalogue import load_cohort
from survbench.cohort.folds import read_splits
from survbench.errors import CohortError, InputError, SplitError
from survbench.streams import seed_of

POPULATIONS = ("paired", "all")
CONTROLS = ("none", "permute")


@dataclass(frozen=True, eq=False)
class Ground:
    """Patients of a population with their folds.

    Parameters
    ----------
    cohort : Cohort
        Patients of the population.
    fold : array (N,)
        Fold each of them is tested in.
    splits, split_hash : str
        Name and contents of the folds.
    population : str
        paired: those with every modality; all: everyone.
    left_out : array
        Fold of each patient of the cohort who is not of the population.
    unknown : int
        Cases of the splits that the cohort lacks.
    """

    cohort: Cohort
    fold: NDArray[np.int64]
    splits: str
    split_hash: str
    population: str
    left_out: NDArray[np.int64]
    unknown: int

    @property
    def folds(self) -> tuple[int, ...]:
        """Folds that test somebody, ascending."""
        return tuple(int(fold) for fold in np.unique(self.fold))

    def under(self, control: str, seed: int) -> Ground:
        """The same patients under a negative control.

        permute: outcomes change hands among the patients of each fold, whose features, masks and
        event rate stay, so that nothing can be predicted; the seed names the permutation.
        """
        if control == "none":
            return self
        giver = np.arange(len(self.cohort))
        for fold in self.folds:
            rows = np.flatnonzero(self.fold == fold)
            giver[rows] = np.random.default_rng(seed_of("permute", seed, fold)).permutation(rows)
        outcome = {name: self.cohort.cases[name].to_numpy()[giver] for name in ("time", "event")}
        return replace(self, cohort=replace(self.cohort, cases=self.cohort.cases.assign(**outcome)))

    def train(self, fold: int) -> Cohort:
        """Training patients of a fold."""
        return replace(self.cohort.select(self.fold != fold), fold=fold)

    def test(self, fold: int) -> Cohort:
        """Test patients of a fold."""
        return self.cohort.select(self.fold == fold)


@dataclass(frozen=True)
class Source:
    """Where a ground comes from; workers load it anew and must find the same.

    Parameters
    ----------
    cohort : str
        Name of an embedded cohort, or a cohort folder.
    splits : str or None
        Name, file or folder; None for those the cohort says.
    population : str
        paired or all.
    """

    cohort: str
    splits: str | None = None
    population: str = "paired"

    @cached_property
    def ground(self) -> Ground:
        """The patients and their folds.

        Raises
        ------
        InputError
            The cohort, the splits or both together cannot be used.
        """
        if self.population not in POPULATIONS:
            msg = f"population {self.population!r} is not known; use {' or '.join(POPULATIONS)}"
            raise InputError(msg)
        cohort = load_cohort(self.cohort)
        splits = self.splits or cohort.info.default_splits
        if splits is None:
            msg = (
                f"cohort {cohort.name!r} names no splits; give --splits, or make some with "
                f"'survbench splits make --cohort {self.cohort}'"
            )
            raise SplitError(msg)
        folds = read_splits(splits)
        aligned = folds.align(cohort)
        keep = cohort.paired if self.population == "paired" else np.ones(len(cohort), bool)
        if not keep.any():
            msg = (
                f"no patient of cohort {cohort.name!r} has every modality "
                f"({', '.join(cohort.modalities)}); use --population all"
            )
            raise CohortError(msg)
        return Ground(
            cohort=cohort.select(keep),
            fold=aligned.fold[keep],
            splits=folds.name,
            split_hash=folds.hash,
            population=self.population,
            left_out=aligned.fold[~keep],
            unknown=aligned.left_out,
        )

    def __reduce__(self) -> tuple[type[Source], tuple[str, str | None, str]]:
        """What a worker is sent: the names, never the patients.

        These would be copied, patch features and all; and as they do not fit into the pipe to a
        new process, its parent would wait for ever for one that dies before it has read them.
        """
        return Source, (self.cohort, self.splits, self.population)

    def load(self, cohort_hash: str, split_hash: str) -> Ground:
        """The ground, if it is still the one with these hashes.

        Raises
        ------
        InputError
            Cohort or splits were changed since the run was planned.
        """
        ground = self.ground
        if (ground.cohort.info.data_hash, ground.split_hash) != (cohort_hash, split_hash):
            msg = f"cohort {self.cohort!r} or its splits changed during the run; run again"
            raise InputError(msg)
        return ground
