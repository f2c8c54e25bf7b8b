"""Bags of which no more than some patches are read, drawn anew each time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from survbench.cohort import Bags, Cohort
from survbench.cohort.modality import Floats, Rows

__all__ = ["DrawnBags", "draw_patches"]


@dataclass(frozen=True, eq=False)
class DrawnBags(Bags):
    """Bags that give at most `most` of their patches, in order, others at every reading.

    Parameters
    ----------
    whole : array (N,)
        How many patches there really are; `length` is how many are read.
    generator : Generator
        Draws them without replacement.
    """

    whole: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    generator: np.random.Generator = field(default_factory=np.random.default_rng)

    @classmethod
    def of(cls, bags: Bags, most: int, generator: np.random.Generator) -> Self:
        """Bags that give at most `most` patches of each of `bags`."""
        return cls(
            bags.features,
            bags.start,
            np.where(bags.start < 0, bags.length, np.minimum(bags.length, most)),  # fillers: whole
            shift=bags.shift,
            scale=bags.scale,
            filler=bags.filler,
            whole=bags.length,
            generator=generator,
        )

    def select(self, rows: Rows) -> Self:
        """Bags of the given patients, drawn from by the same generator."""
        return replace(
            self, start=self.start[rows], length=self.length[rows], whole=self.whole[rows]
        )

    def raw(self, row: int) -> Floats:
        """Patches (n, D) drawn from one patient's, as they were measured."""
        count, whole, start = int(self.length[row]), int(self.whole[row]), int(self.start[row])
        if count == whole:
            return super().raw(row)
        chosen = np.sort(self.generator.choice(whole, count, replace=False))
        return self.features[start + chosen]


def draw_patches(cohort: Cohort, most: int, seed: int) -> Cohort:
    """Cohort of whose bags at most `most` patches are read, others at every reading."""
    generator = np.random.default_rng(seed)
    modalities = {
        name: DrawnBags.of(modality, most, generator) if isinstance(modality, Bags) else modality
        for name, modality in cohort.modalities.items()
    }
    return replace(cohort, modalities=modalities)
