"""The data hash of a cohort: equal content, equal hash, however it is laid out in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.cohort import Cohort
from survbench.cohort.modality import Bags, Modality

_NUMBERS = ("time", "age")


def hash_cohort(cohort: Cohort) -> str:
    """Sha256 of what results depend on: cases, measurements, endpoint, units, standardisation.

    Provenance text, name, horizon and default splits are left out: they change no prediction.
    """
    content = content_hash(cohort.cases, cohort.modalities)
    setting = [cohort.info.endpoint, cohort.info.units, sorted(cohort.info.standardise)]
    return hashlib.sha256(json.dumps([content, *setting]).encode()).hexdigest()


def content_hash(cases: pd.DataFrame, modalities: Mapping[str, Modality]) -> str:
    """Sha256 (hex) over cases, covariates and every measured value, in the order of the cases."""
    digest = hashlib.sha256()
    _add_text(digest, cases.index)
    for column in sorted(cases.columns):
        values = cases[column]
        digest.update(f"column {column}\n".encode())
        if column in _NUMBERS:
            _add_array(digest, values.to_numpy(np.float64))
        elif column == "event":
            _add_array(digest, values.to_numpy(bool))
        else:
            _add_text(digest, values.astype(object).where(values.notna(), ""))
    for name in sorted(modalities):
        digest.update(f"modality {name}\n".encode())
        _add_modality(digest, modalities[name])
    return digest.hexdigest()


def _add_modality(digest: hashlib._Hash, modality: Modality) -> None:
    if isinstance(modality, Bags):
        digest.update(f"bags {modality.features.dtype.name} {modality.width}\n".encode())
        _add_array(digest, modality.length)
        for start, length in zip(modality.start, modality.length, strict=True):
            digest.update(_little(modality.features[start : start + length]).data)
        return
    _add_array(digest, modality.present)
    _add_array(digest, modality.matrix())
    _add_text(digest, modality.columns)
    _add_text(digest, modality.kind)
    for group, index in modality.groups.items():
        digest.update(f"group {group}\n".encode())
        _add_array(digest, index)


def _little(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Contiguous little-endian form of an array."""
    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)


def _add_array(digest: hashlib._Hash, values: NDArray[np.generic]) -> None:
    """Type, shape and bytes of an array."""
    digest.update(f"{values.dtype.name} {values.shape}\n".encode())
    digest.update(_little(values).data)


def _add_text(digest: hashlib._Hash, values: Iterable[object]) -> None:
    for value in values:
        digest.update(f"{value}\n".encode())
