"""Small cohorts in which every promise can be put to the test within seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort import Bags, Cohort, CohortInfo, GeneGroups, Modality, Regime

GENES = 14
GROUPS = {"tumour suppression": range(5), "oncogenesis": range(3, 9), "kinases": range(8, 12)}


def sample_cohort(
    count: int = 36,
    names: Sequence[str] = ("P", "G"),
    *,
    seed: int = 0,
    longest: int = 7,
    fold: int | None = 0,
) -> Cohort:
    """Cohort of `count` patients whose risk shows in every modality; nobody lacks any.

    "G" is gene groups, which overlap and leave two columns out; every other name is bags of 1 to
    `longest` patches. One column of each is constant. Another `seed` is other
    patients of the same law, under other case ids.
    """
    draw = np.random.default_rng(seed)
    latent = draw.normal(size=count)
    death = draw.exponential(20 * np.exp(-latent)) + 0.1
    leaves = draw.exponential(40, size=count) + 0.1
    event = death <= leaves
    cases = pd.DataFrame(
        {
            "time": np.minimum(death, leaves),
            "event": event,
            "age": 60 + 8 * latent + draw.normal(scale=4, size=count),
            "sex": draw.choice(["female", "male"], size=count),
            "histology": np.where(latent + draw.normal(size=count) > 0, "IDC", "ILC"),
            "site": draw.choice(["A1", "B2", "C3"], size=count),
        },
        index=pd.Index([f"SIM-{seed:02d}-{one:04d}" for one in range(count)], name="case_id"),
    )
    modalities: dict[str, Modality] = {}
    for width, name in enumerate(names, start=6):
        if name == "G":
            modalities[name] = _genes(latent, draw)
        else:
            modalities[name] = _bags(latent, draw, width, longest)
    bags = tuple(name for name in names if name != "G")
    info = CohortInfo(horizon_months=12, standardise=bags[:1], simulated=True)
    return Cohort("sample", cases, modalities, info, fold=fold)


def thinned(cohort: Cohort) -> Cohort:
    """Cohort in which every third patient really has one modality alone, in turn."""
    position = np.arange(len(cohort))
    names = list(cohort.modalities)
    alone = np.where(position % 3 == 0, (position // 3) % len(names), -1)
    masks = {name: (alone >= 0) & (alone != index) for index, name in enumerate(names)}
    return cohort.absent(masks)


def with_outcome(cohort: Cohort, time: NDArray[np.floating], event: NDArray[np.bool_]) -> Cohort:
    """Cohort whose patients have another outcome."""
    return replace(cohort, cases=cohort.cases.assign(time=time, event=event))


def overwritten(cohort: Cohort, value: float, rows: dict[str, NDArray[np.bool_]]) -> Cohort:
    """Cohort in which the values of patients rows[name] (N,) are `value`; arrays are copied."""
    changed: dict[str, Modality] = {}
    for name, modality in cohort.modalities.items():
        chosen = np.flatnonzero(rows.get(name, np.zeros(len(cohort), bool)) & modality.present)
        if isinstance(modality, Bags):
            features = np.array(modality.features)
            for row in chosen:
                begin = modality.start[row]
                features[begin : begin + modality.length[row]] = value
            changed[name] = replace(modality, features=features)
        else:
            values = np.array(modality.values)
            values[modality.row[chosen]] = value
            changed[name] = replace(modality, values=values)
    return replace(cohort, modalities=changed)


def enlarged(cohort: Cohort, patches: int) -> Cohort:
    """Cohort whose first patient has so many patches in every bag."""
    changed: dict[str, Modality] = {}
    for name, modality in cohort.modalities.items():
        if isinstance(modality, Bags):
            draw = np.random.default_rng(patches)
            more = draw.normal(size=(patches, modality.width)).astype(np.float32)
            start, length = modality.start.copy(), modality.length.copy()
            start[0], length[0] = len(modality.features), patches
            features = np.concatenate([modality.features, more])
            changed[name] = replace(modality, features=features, start=start, length=length)
    return replace(cohort, modalities={**cohort.modalities, **changed})


def planted(cohort: Cohort, missing: str) -> Cohort:
    """Cohort with NaN in everything the regime takes."""
    return overwritten(cohort, float("nan"), Regime.parse(missing).missing(cohort))


def _bags(latent: NDArray[np.float64], draw: np.random.Generator, width: int, longest: int) -> Bags:
    """Bags whose patches carry the latent in half of their columns; the last is constant."""
    length = draw.integers(1, longest + 1, size=len(latent))
    loading = _loading(width) * (np.arange(width) % 2 == 0)
    patch = np.repeat(latent, length)[:, None] * loading
    patch = patch + draw.normal(size=patch.shape)
    patch[:, -1] = 1.5
    start = np.cumsum(length) - length
    return Bags(patch.astype(np.float32), start.astype(np.int64), length.astype(np.int64))


def _genes(latent: NDArray[np.float64], draw: np.random.Generator) -> GeneGroups:
    """Three overlapping groups of RNA, copy number and mutations; column 2 is constant."""
    values = latent[:, None] * _loading(GENES) + draw.normal(size=(len(latent), GENES))
    kind = ["rna"] * 7 + ["cnv"] * 4 + ["mut"] * 3
    values[:, 7:11] = np.clip(np.round(values[:, 7:11]), -2, 2)
    values[:, 11:] = values[:, 11:] > 0
    values[:, 2] = 0.25
    columns = [f"GENE{one}_{sort}" for one, sort in enumerate(kind)]
    groups = {name: list(index) for name, index in GROUPS.items()}
    return GeneGroups.of(values, columns, kind, groups)


def _loading(width: int) -> NDArray[np.float64]:
    """How each column shows the latent, (D,); the same in every sample cohort."""
    return np.random.default_rng(width).normal(size=width)
