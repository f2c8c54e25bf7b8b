"""The baselines' data protocol: interval edges, classes, sampling weights, gene scaling, groups.

The official edges see the times of all patients, those under test included, and SurvPath's scaling
mixes all genes: both exist here only, to show that we read the reference right.
"""

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort import Cohort, GeneGroups, Transforms
from survbench.cohort.tables import group_columns
from survbench.learn.intervals import label, time_edges
from survbench.learn.sampler import balanced_weights
from tests.parity.fixture import Fixture, Ours

Floats = NDArray[np.float64]


def official_edges(time: Floats, event: NDArray[np.bool_], intervals: int, eps: float) -> Floats:
    """Edges (K+1,) from the deaths of all patients, the outer ones just beyond all times."""
    edges = np.quantile(time[event], np.linspace(0, 1, intervals + 1))
    edges[0], edges[-1] = time.min() - eps, time.max() + eps
    return edges


def survpath_scaled(train: Floats, other: Floats) -> Floats:
    """`other` (n, C) on the scale where all entries of `train` span -1 to 1; zeros stay zero."""
    low, high = train.min(), train.max()
    scaled = (other - low) / (high - low) * 2 - 1
    return np.where(other == 0, 0.0, scaled)


def outputs(fixture: Fixture) -> Ours:
    """Every step of the protocol."""
    inputs, config = fixture.inputs, fixture.config
    train, val = inputs["train_index"], inputs["val_index"]
    genes = inputs["genes"].astype(np.float64)
    scaled = _scaled(fixture)
    return {
        **_intervals(fixture, config["n_bins"], config["eps"]),
        "train_scaled": scaled[train],
        "val_scaled": scaled[val],
        **_groups(fixture, scaled[train]),
        "survpath_train": survpath_scaled(genes[train], genes[train]),
        "survpath_val": survpath_scaled(genes[train], genes[val]),
    }


def _intervals(fixture: Fixture, intervals: int, eps: float) -> Ours:
    time, event = fixture.inputs["time"], fixture.inputs["censorship"] == 0
    train = fixture.inputs["train_index"]
    edges = official_edges(time, event, intervals, eps)
    interval = label(time, edges)
    stratum = 2 * interval + ~event
    ours = time_edges(time[train], event[train], intervals)
    return {
        "bin_edges": edges,
        "disc_label": interval,
        "strat_label": stratum,
        "train_weights": balanced_weights(interval[train], event[train]),
        "train_counts": np.bincount(stratum[train], minlength=2 * intervals),
        "leakfree_edges_interior": ours[1:-1],
        "leakfree_label_all": label(time, ours),
    }


def _scaled(fixture: Fixture) -> Floats:
    """Genes of all patients by the transforms of the training patients, before the clip at 5."""
    values = fixture.inputs["genes"].astype(np.float32)
    count, width = values.shape
    names = tuple(fixture.inputs["gene_names"].tolist())
    modality = GeneGroups.of(
        values,
        columns=names,
        kind=["other"] * width,  # the reference takes no logarithm
        groups={"all": np.arange(width)},
    )
    cases = pd.DataFrame(index=pd.Index([f"case{i}" for i in range(count)]))
    cohort = Cohort("parity", cases, {"G": modality})
    fitted = Transforms.fit(cohort.select(fixture.inputs["train_index"]))
    return (values.astype(np.float64) - fitted.centre["G"]) / fitted.spread["G"]


def _groups(fixture: Fixture, scaled: Floats) -> Ours:
    names: list[str] = fixture.inputs["gene_names"].tolist()
    signatures = {
        match[1]: symbols.tolist()
        for name, symbols in fixture.inputs.items()
        if (match := re.fullmatch(r"(group\d+)_genes", name))
    }
    found, empty = group_columns(names, signatures)
    index = {**found, **{name: np.empty(0, np.int64) for name in empty}}
    ours: dict[str, Any] = {}
    for group, columns in index.items():
        ours[f"{group}_names"] = np.array([names[i] for i in columns], dtype=str)
        ours[f"{group}_train"] = scaled[:, columns]
    return ours
