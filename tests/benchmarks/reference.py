"""Patients of the sizes the papers' networks were written for."""

from dataclasses import replace
from functools import cache

import numpy as np

from survbench.check import sample_cohort
from survbench.cohort import Bags, Cohort, GeneGroups, Modality

GROUP_SIZES = (89, 334, 534, 471, 1510, 482)  # BLCA, training protocol of the papers
PATCH_WIDTH = 1024
BAG = 29


@cache
def reference_cohort(count: int = 32, length: int = BAG) -> Cohort:
    """Cohort of `count` patients with bags of `length` patches and six gene groups, all noise."""
    draw = np.random.default_rng(0)
    features = draw.normal(size=(count * length, PATCH_WIDTH)).astype(np.float32)
    bags = Bags(features, np.arange(count) * length, np.full(count, length))
    last = np.cumsum(GROUP_SIZES)
    groups = {
        f"group {i}": range(end - size, end)
        for i, (end, size) in enumerate(zip(last, GROUP_SIZES, strict=True))
    }
    genes = draw.normal(size=(count, last[-1]))
    columns = [f"GENE{i}_rna" for i in range(last[-1])]
    modalities: dict[str, Modality] = {
        "P": bags,
        "G": GeneGroups.of(genes, columns, ["rna"] * last[-1], groups),
    }
    return replace(sample_cohort(count), modalities=modalities)
