"""Transforms of a fit: fitted on its training cases, saved with it, applied by the suite.

RNA becomes sign(x) log1p|x|; every gene column is then z-scored and clipped at 5. Bag columns are
standardised where the cohort says so. What is missing is afterwards filled, if the method asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from survbench.cohort.cohort import Cohort
from survbench.cohort.modality import Bags, GeneGroups, Modality
from survbench.errors import CohortError, InputError

CLIP = 5.0
_CHUNK = 65_536  # patches read at once
_CONSTANT = 1e-6  # a smaller spread is rounding


@dataclass(frozen=True)
class Transforms:
    """Centre and spread of every column, from training cases.

    Parameters
    ----------
    centre, spread : mapping of modality to array
        (C,) or (D,), float64; a modality that is used as it is has none.
    """

    centre: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    spread: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def fit(cls, cohort: Cohort) -> Transforms:
        """Transforms of the patients in `cohort` who have each modality."""
        moments = {}
        for name, modality in cohort.modalities.items():
            if isinstance(modality, GeneGroups):
                moments[name] = _moments_of_genes(modality)
            elif name in cohort.info.standardise:
                moments[name] = _moments_of_bags(modality)
        return cls(
            centre={name: centre for name, (centre, _) in moments.items()},
            spread={name: spread for name, (_, spread) in moments.items()},
        )

    def apply(self, cohort: Cohort) -> Cohort:
        """Cohort on the scale of the fit; rows of absent patients are gone, not only hidden."""
        return replace(
            cohort,
            modalities={name: self._scaled(name, mod) for name, mod in cohort.modalities.items()},
        )

    def _scaled(self, name: str, modality: Modality) -> Modality:
        if isinstance(modality, Bags):
            if name not in self.centre:
                return modality
            return replace(modality, shift=self.centre[name], scale=self.spread[name])
        compact = _compact(modality)
        if name not in self.centre:
            return compact
        scaled = (_expanded(compact) - self.centre[name]) / self.spread[name]
        return replace(compact, values=np.clip(scaled, -CLIP, CLIP).astype(np.float32))


def _compact(genes: GeneGroups) -> GeneGroups:
    """Genes whose table holds the rows of present patients alone."""
    row = np.full(len(genes), -1, np.int64)
    row[genes.present] = np.arange(genes.present.sum())
    return replace(genes, values=genes.matrix(), row=row)


def _expanded(genes: GeneGroups) -> NDArray[np.float64]:
    """Values (R, C) with RNA as sign(x) log1p|x|."""
    values = genes.values.astype(np.float64)
    rna = genes.kind == "rna"
    values[:, rna] = np.sign(values[:, rna]) * np.log1p(np.abs(values[:, rna]))
    return values


def _spread(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation, 1 where a column is constant."""
    spread = np.sqrt(np.maximum(variance, 0))
    return np.where(spread > _CONSTANT, spread, 1.0)


def _moments_of_genes(genes: GeneGroups) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = _expanded(_compact(genes))
    if len(values) == 0:
        msg = "no training patient has gene measurements; choose another regime or population"
        raise CohortError(msg)
    return values.mean(axis=0), _spread(values.var(axis=0))


def _moments_of_bags(bags: Bags) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread over all patches of the patients, in two streamed passes."""
    count = int(bags.length.sum())
    if count == 0:
        msg = "no training patient has a patch; choose another regime or population"
        raise CohortError(msg)
    total = np.zeros(bags.width)
    for chunk in _chunks(bags):
        total += chunk.sum(axis=0, dtype=np.float64)
    centre = total / count
    square = np.zeros(bags.width)
    for chunk in _chunks(bags):
        square += np.square(chunk - centre).sum(axis=0)
    return centre, _spread(square / count)


def _chunks(bags: Bags) -> Iterator[NDArray[np.float32]]:
    """Raw patches of the patients, a bounded number at a time."""
    for start, length in zip(bags.start, bags.length, strict=True):
        for begin in range(start, start + length, _CHUNK):
            yield np.asarray(bags.features[begin : min(begin + _CHUNK, start + length)], np.float32)


@dataclass(frozen=True)
class Fill:
    """What stands in for an absent modality a method cannot do without.

    Parameters
    ----------
    rule : str
        `zero`: zero genes, one zero patch; `zero:N`: N zero patches; `mean`: the training mean.
        All after the transforms.
    values : mapping of modality to array
        (C,) for genes, (F, D) for bags.
    """

    rule: str
    values: Mapping[str, NDArray[np.float32]]

    @classmethod
    def fit(cls, rule: str, cohort: Cohort) -> Fill:
        """Fill of transformed training cases.

        Raises
        ------
        InputError
            `rule` is none of zero, zero:N, mean.
        """
        patches = cls.patches(rule)
        values = {}
        for name, modality in cohort.modalities.items():
            mean = rule == "mean"
            row = _mean_row(modality) if mean else np.zeros(modality.width, np.float32)
            values[name] = np.tile(row, (patches, 1)) if isinstance(modality, Bags) else row
        return cls(rule, values)

    @staticmethod
    def patches(rule: str) -> int:
        """Number of patches that stand in for an absent bag.

        Raises
        ------
        InputError
            `rule` is none of zero, zero:N, mean.
        """
        match = re.fullmatch(r"zero(?::([1-9][0-9]*))?|mean", rule)
        if match is None:
            msg = f"fill {rule!r} is not known; use zero, zero:N (N patches) or mean"
            raise InputError(msg)
        return int(match[1] or 1)

    def apply(self, cohort: Cohort, names: set[str]) -> Cohort:
        """Cohort in which nobody lacks the modalities `names`."""
        return replace(
            cohort,
            modalities={
                name: self._filled(name, modality) if name in names else modality
                for name, modality in cohort.modalities.items()
            },
        )

    def _filled(self, name: str, modality: Modality) -> Modality:
        if isinstance(modality, Bags):
            return modality.filled(self.values[name])
        values = np.concatenate([modality.values, self.values[name][None]])
        row = np.where(modality.present, modality.row, len(modality.values))
        return replace(modality, values=values, row=row)


def _mean_row(modality: Modality) -> NDArray[np.float32]:
    if isinstance(modality, GeneGroups):
        return np.asarray(modality.matrix().mean(axis=0, dtype=np.float64), np.float32)
    centre, _ = _moments_of_bags(modality)
    if modality.shift is None or modality.scale is None:
        return centre.astype(np.float32)
    return np.asarray((centre - modality.shift) / modality.scale, np.float32)
