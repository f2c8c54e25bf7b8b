"""Patients of chosen sizes, all noise: what a method costs does not depend on what they tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from survbench.cohort import Bags, Cohort, GeneGroups, Modality
from survbench.errors import InputError

__all__ = ["GENE_WIDTHS", "Sizes", "patients", "without"]

GENE_WIDTHS = (89, 334, 534, 471, 1510, 482)  # six groups of TCGA-BLCA, the papers' protocol
SITES, SEXES, HISTOLOGIES = 4, 2, 3


@dataclass(frozen=True)
class Sizes:
    """What a patient has.

    Parameters
    ----------
    patches : int
        N, patches of a bag.
    width : int
        D, width of a patch.
    gene_widths : tuple of int
        Columns of each gene group; groups share no column.

    Raises
    ------
    InputError
        A size is below 1, or there is no gene group.
    """

    patches: int
    width: int = 1024
    gene_widths: tuple[int, ...] = GENE_WIDTHS

    def __post_init__(self) -> None:
        smallest = min(self.patches, self.width, *self.gene_widths, len(self.gene_widths))
        if smallest < 1:
            msg = (
                f"patches {self.patches}, width {self.width}, gene widths {self.gene_widths}: "
                "sizes are at least 1, and there is a gene group; write --gene-widths 89,334"
            )
            raise InputError(msg)


def patients(count: int, sizes: Sizes, *, shared: bool = False) -> Cohort:
    """Cohort of `count` patients with bags "P" and gene groups "G"; every death is seen.

    With `shared` all bags are the same patches of one array, which takes the memory of one bag.
    """
    draw = np.random.default_rng(0)
    bags = 1 if shared else count
    features = draw.standard_normal((bags * sizes.patches, sizes.width), np.float32)
    start = np.zeros(count, np.int64) if shared else np.arange(count) * sizes.patches
    modalities: dict[str, Modality] = {
        "P": Bags(features, start, np.full(count, sizes.patches)),
        "G": _genes(count, sizes.gene_widths, draw),
    }
    place = np.arange(count)
    cases = pd.DataFrame(
        {
            "time": place + 1.0,
            "event": True,
            "age": 40.0 + place % 50,
            "sex": [f"sex {one}" for one in place % SEXES],
            "histology": [f"histology {one}" for one in place % HISTOLOGIES],
            "site": [f"site {one}" for one in place % SITES],
        },
        index=pd.Index([f"NOISE-{one:05d}" for one in place], name="case_id"),
    )
    return Cohort("noise", cases, modalities, fold=0)


def without(cohort: Cohort, names: Sequence[str]) -> Cohort:
    """Cohort in which everybody really lacks the modalities `names`."""
    everybody = np.ones(len(cohort), bool)
    return replace(cohort.absent(dict.fromkeys(names, everybody)), fold=None)


def _genes(count: int, widths: Sequence[int], draw: np.random.Generator) -> GeneGroups:
    last = np.cumsum(widths)
    groups = {
        f"group {number}": np.arange(end - size, end)
        for number, (end, size) in enumerate(zip(last, widths, strict=True), start=1)
    }
    columns = [f"GENE{column}_rna" for column in range(last[-1])]
    values = draw.standard_normal((count, last[-1]), np.float32)
    return GeneGroups.of(values, columns, ["rna"] * int(last[-1]), groups)
