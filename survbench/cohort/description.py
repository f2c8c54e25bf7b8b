"""What a cohort holds, counted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from survbench.cohort.cohort import COVARIATES, Cohort
from survbench.cohort.modality import Bags, Modality
from survbench.cohort.tables import SUFFIXES


def describe(cohort: Cohort) -> dict[str, Any]:
    """What `survbench cohort show` prints: counts, and what each modality holds."""
    time = cohort.time
    return {
        "name": cohort.name,
        "endpoint": cohort.info.endpoint,
        "units": cohort.info.units,
        "cases": len(cohort),
        "events": int(cohort.event.sum()),
        "median_time": float(np.median(time)) if len(time) else float("nan"),
        "max_time": float(time.max()) if len(time) else float("nan"),
        "paired": int(cohort.paired.sum()),
        "paired_events": int(cohort.event[cohort.paired].sum()),
        "covariates": [name for name in COVARIATES if name in cohort.cases],
        "modalities": {n: _describe(m, cohort) for n, m in cohort.modalities.items()},
        "standardise": list(cohort.info.standardise),
        "horizon_months": cohort.info.horizon_months,
        "default_splits": cohort.info.default_splits,
        "encoder_saw_tcga": cohort.info.encoder_saw_tcga,
        "cohort_level_preprocessing": cohort.info.cohort_level_preprocessing,
        "provenance": cohort.info.provenance,
        "note": cohort.info.note,
        "dropped": len(cohort.info.dropped),
        "data_hash": cohort.info.data_hash,
    }


def _describe(modality: Modality, cohort: Cohort) -> dict[str, Any]:
    present = modality.present
    summary: dict[str, Any] = {
        "kind": "bags" if isinstance(modality, Bags) else "genes",
        "cases": int(present.sum()),
        "events": int(cohort.event[present].sum()),
        "width": modality.width,
    }
    if isinstance(modality, Bags):
        length = modality.length[present]
        summary["dtype"] = str(modality.features.dtype)
        summary["patches"] = int(length.sum())
        if len(length):
            summary["patches_min"] = int(length.min())
            summary["patches_median"] = float(np.median(length))
            summary["patches_max"] = int(length.max())
        return summary
    summary["groups"] = {
        name: kind_counts(modality.kind[index]) for name, index in modality.groups.items()
    }
    return summary


def kind_counts(kind: NDArray[np.str_]) -> dict[str, int]:
    """Number of columns of each kind, kinds in a fixed order, none left out but empty ones."""
    names = (*SUFFIXES.values(), "other")
    return {name: int((kind == name).sum()) for name in names if (kind == name).any()}
