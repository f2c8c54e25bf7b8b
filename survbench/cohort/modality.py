"""The two kinds of modality: bags of patch features, and groups of gene measurements.

Selecting and masking patients copy index arrays only, so that a cohort larger than memory can be
cut into folds; the features themselves stay in their memory map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from survbench.errors import CohortError

Rows: TypeAlias = NDArray[np.integer] | NDArray[np.bool_] | Sequence[int]
Floats: TypeAlias = NDArray[np.floating]

_FILLED = -1  # start of a bag that is read from `filler`
KINDS = ("rna", "cnv", "mut", "other")


@dataclass(frozen=True, eq=False)
class Bags:
    """One bag of patch features per patient.

    Parameters
    ----------
    features : array (T, D)
        Patches of all patients, float16 or float32, usually memory-mapped.
    start, length : array (N,)
        Where each patient's patches begin and how many there are; length 0 is an absent bag.
    coords : array (T, 2) or None
        Places of the patches.
    shift, scale : array (D,) or None
        Column standardisation applied when patches are read: (x - shift) / scale.
    filler : array (F, D) or None
        Patches standing in for an absent bag, already on the standardised scale.
    """

    features: Floats
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    coords: NDArray[np.integer] | None = None
    shift: Floats | None = None
    scale: Floats | None = None
    filler: Floats | None = None

    def __post_init__(self) -> None:
        if self.features.ndim != 2:
            msg = f"features must be (patches, width), found shape {self.features.shape}"
            raise CohortError(msg)
        if self.features.dtype not in (np.float16, np.float32):
            msg = f"features must be float16 or float32, found {self.features.dtype}"
            raise CohortError(msg)
        own = np.asarray(self.start) != _FILLED
        end = np.asarray(self.start + self.length)[own]
        if len(self.start) != len(self.length) or (end > len(self.features)).any():
            msg = f"bags reach past the {len(self.features)} patches; rebuild the cohort"
            raise CohortError(msg)

    def __len__(self) -> int:
        return len(self.length)

    @property
    def width(self) -> int:
        """Number of feature columns D."""
        return int(self.features.shape[1])

    @property
    def present(self) -> NDArray[np.bool_]:
        """Who has at least one patch, (N,)."""
        return self.length > 0

    def select(self, rows: Rows) -> Bags:
        """Bags of the given patients, in that order; features are not copied."""
        return replace(self, start=self.start[rows], length=self.length[rows])

    def absent(self, mask: NDArray[np.bool_]) -> Bags:
        """Bags with those in `mask` (N,) emptied."""
        return replace(
            self, start=np.where(mask, 0, self.start), length=np.where(mask, 0, self.length)
        )

    def filled(self, filler: Floats) -> Bags:
        """Bags in which every absent one is `filler` (F, D), standardised values."""
        gone = ~self.present
        return replace(
            self,
            start=np.where(gone, _FILLED, self.start),
            length=np.where(gone, len(filler), self.length),
            filler=np.asarray(filler, np.float32),
        )

    def bag(self, row: int) -> NDArray[np.float32]:
        """Patches (n, D) of one patient, standardised, float32."""
        return self.gather([row])

    def gather(self, rows: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """Patches (sum of lengths, D) of the given patients, one bag after the other."""
        end = np.cumsum([0, *(int(self.length[row]) for row in rows)])
        patches = np.empty((end[-1], self.width), np.float32)
        for row, begin, stop in zip(rows, end, end[1:], strict=False):
            self._write(int(row), patches[begin:stop])
        return patches

    def raw(self, row: int) -> Floats:
        """Patches (n, D) of one patient who has a bag of their own, as they were measured."""
        start = int(self.start[row])
        return self.features[start : start + int(self.length[row])]

    def _write(self, row: int, patches: NDArray[np.float32]) -> None:
        """Put the standardised patches of a patient into an array (n, D)."""
        if self.start[row] == _FILLED and self.filler is not None:
            patches[:] = self.filler
        elif self.shift is None or self.scale is None:
            patches[:] = self.raw(row)
        else:  # in float64, and no more copies of a large bag than need be
            np.divide(self.raw(row) - self.shift, self.scale, out=patches, casting="same_kind")


@dataclass(frozen=True, eq=False)
class GeneGroups:
    """Gene measurements of each patient, in functional groups that may overlap.

    Parameters
    ----------
    values : array (R, C)
        Each column once; one row per patient who has them, in any order.
    columns : tuple of str
        Names of the C columns, such as "TP53_mut".
    kind : array (C,)
        rna, cnv, mut or other.
    groups : mapping of name to array
        Column indices of each group, in a fixed order.
    row : array (N,)
        Row of `values` of each patient; -1 is absent.
    """

    values: NDArray[np.float32]
    columns: tuple[str, ...]
    kind: NDArray[np.str_]
    groups: Mapping[str, NDArray[np.int64]]
    row: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def of(
        cls,
        values: NDArray[np.floating],
        columns: Sequence[str],
        kind: Sequence[str],
        groups: Mapping[str, Sequence[int] | NDArray[np.int64]],
        present: NDArray[np.bool_] | None = None,
    ) -> GeneGroups:
        """Groups whose row i of `values` (N, C) is patient i; `present` (N,) marks who has them."""
        has = np.ones(len(values), bool) if present is None else np.asarray(present, bool)
        return cls(
            values=np.asarray(values, np.float32),
            columns=tuple(columns),
            kind=np.asarray(kind),
            groups={name: np.asarray(index, np.int64) for name, index in groups.items()},
            row=np.where(has, np.arange(len(values)), -1).astype(np.int64),
        )

    def __post_init__(self) -> None:
        width = self.values.shape[1]
        if not len(self.columns) == len(self.kind) == width:
            msg = f"{width} gene columns, but {len(self.columns)} names and {len(self.kind)} kinds"
            raise CohortError(msg)
        for name, index in self.groups.items():
            if len(index) == 0 or index.max() >= width:
                msg = f"gene group {name!r} is empty or reaches past the {width} columns"
                raise CohortError(msg)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def width(self) -> int:
        """Number of distinct columns C."""
        return int(self.values.shape[1])

    @property
    def present(self) -> NDArray[np.bool_]:
        """Who has gene measurements, (N,)."""
        return self.row >= 0

    def select(self, rows: Rows) -> GeneGroups:
        """Measurements of the given patients, in that order; values are not copied."""
        return replace(self, row=self.row[rows])

    def absent(self, mask: NDArray[np.bool_]) -> GeneGroups:
        """Measurements with those in `mask` (N,) gone."""
        return replace(self, row=np.where(mask, -1, self.row))

    def matrix(self, rows: Rows | None = None) -> NDArray[np.float32]:
        """Values (n, C) of the given patients (all who have them when None)."""
        row = self.row[self.present] if rows is None else self.row[rows]
        if (row < 0).any():
            msg = "asked for the genes of a patient who has none; select by `present` first"
            raise CohortError(msg)
        return self.values[row]


Modality: TypeAlias = Bags | GeneGroups
