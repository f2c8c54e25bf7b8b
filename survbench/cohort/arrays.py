"""Arrays of a cohort folder's `.h5` files: checked first, then mapped or read.

A cohort folder may come from anybody, so no link is followed and no array is larger than its bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from survbench.cohort.features import own_dataset
from survbench.cohort.modality import Bags, GeneGroups
from survbench.errors import CohortError


def read_bags(path: Path, file: h5py.File) -> Bags:
    """Bags of an open `.h5` of a cohort folder; the features stay on disk."""
    features = _mapped(path, file, "features")
    coords = _mapped(path, file, "coords") if "coords" in file else None
    start, length = _indices(path, file, "start"), _indices(path, file, "length")
    most = len(features)
    if not all(((index >= 0) & (index <= most)).all() for index in (start, length)):
        msg = f"a bag begins or ends outside the {most} patches; build the cohort again"
        raise CohortError(msg)
    return Bags(features, start, length, coords)


def _mapped(path: Path, file: h5py.File, key: str) -> NDArray[Any]:
    """Memory map of a contiguous dataset; nothing is loaded."""
    dataset = own_dataset(path.stem, file, key)
    if dataset.dtype.kind not in "iuf":
        msg = f"{key} hold {dataset.dtype}, not numbers; build the cohort again"
        raise CohortError(msg)
    if 0 in dataset.shape:
        return np.empty(dataset.shape, dataset.dtype)
    offset = dataset.id.get_offset()
    if offset is None:
        msg = f"{dataset.name} is not contiguous; build the cohort again"
        raise CohortError(msg)
    return np.memmap(path, dataset.dtype, mode="r", offset=offset, shape=dataset.shape)


def _indices(path: Path, file: h5py.File, key: str) -> NDArray[np.int64]:
    """Whole numbers (n,) of a dataset."""
    dataset = own_dataset(path.stem, file, key)
    if dataset.dtype.kind not in "iu" or dataset.ndim != 1:
        found = f"{dataset.dtype} {dataset.shape}"
        msg = f"{key} must be whole numbers (n,), found {found}; build the cohort again"
        raise CohortError(msg)
    return np.asarray(dataset[()], np.int64)


def _texts(path: Path, file: h5py.File, key: str) -> NDArray[Any]:
    """Texts (n,) of a dataset."""
    return np.atleast_1d(own_dataset(path.stem, file, key).asstr()[()])


def read_genes(path: Path, file: h5py.File, *, all_columns: bool) -> GeneGroups:
    """Gene groups; columns in no group stay on disk unless asked for."""
    columns, kind = _texts(path, file, "columns"), _texts(path, file, "kind").astype(str)
    members, sizes = _indices(path, file, "group_columns"), _indices(path, file, "group_sizes")
    values, row = _mapped(path, file, "values"), _indices(path, file, "row")
    if len(row) and not -1 <= row.min() <= row.max() < len(values):
        msg = f"rows reach past the {len(values)} patients with genes; build the cohort again"
        raise CohortError(msg)
    if (sizes < 0).any() or (members < 0).any() or sizes.sum() != len(members):
        msg = f"gene groups of {len(members)} columns do not add up; build the cohort again"
        raise CohortError(msg)
    used = np.arange(len(columns)) if all_columns else np.unique(members)
    place = np.full(len(columns), -1, np.int64)
    place[used] = np.arange(len(used))
    ends = np.cumsum(sizes)
    return GeneGroups(
        values=np.ascontiguousarray(values[:, used], np.float32),
        columns=tuple(columns[used].tolist()),
        kind=kind[used],
        groups={
            str(name): place[members[end - size : end]]
            for name, size, end in zip(_texts(path, file, "group_names"), sizes, ends, strict=True)
        },
        row=row,
    )
