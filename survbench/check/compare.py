"""Comparisons that raise `BrokenPromiseError` with the reason why two things differ."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.check.trial import BrokenPromiseError, NotConcernedError
from survbench.cohort import Bags, Cohort
from survbench.method import Method, Prediction

NEAR = 1e-5  # how far a risk may depend on order and company


def check(good: object, reason: str) -> None:
    """Raise `BrokenPromiseError` with `reason` unless `good`."""
    if not good:
        raise BrokenPromiseError(reason)


def concerns(asked: object, reason: str) -> None:
    """Raise `NotConcernedError` with `reason` unless the promise is `asked` of the method."""
    if not asked:
        raise NotConcernedError(reason)


def everyone(said: Prediction, cohort: Cohort) -> None:
    """Check that a prediction has one finite risk for each patient, in order."""
    check(np.array_equal(said.case_id, cohort.case_id), "case ids are not those of the cohort")
    check(said.risk.shape == (len(cohort),), f"risk is {said.risk.shape}, not ({len(cohort)},)")
    check(np.isfinite(said.risk).all(), "risk is not finite")
    check(said.survival is None or np.isfinite(said.survival).all(), "survival is not finite")


def near(one: NDArray[np.floating], other: NDArray[np.floating], what: str) -> None:
    """Check that numbers agree up to rounding, which grows with numbers above 1."""
    check(one.shape == other.shape, f"{what}: shape {one.shape}, not {other.shape}")
    apart = float(np.abs(one - other).max(initial=0.0))
    allowed = NEAR * max(1.0, float(np.abs(other).max(initial=0.0)))
    check(apart <= allowed, f"depends on {what}: up to {apart:.2g} apart, {allowed:.2g} allowed")


def same(one: Prediction, other: Prediction, what: str) -> None:
    """Check that two predictions are equal to the last bit."""
    check(np.array_equal(one.case_id, other.case_id), f"{what} changes who is predicted")
    check(np.array_equal(one.risk, other.risk), f"{what} changes the risk")
    curves = [said.survival for said in (one, other) if said.survival is not None]
    check(len(curves) != 1, f"{what} changes whether survival is given")
    check(not curves or np.array_equal(curves[0], curves[1]), f"{what} changes survival")


def same_state(one: Method, other: Method, what: str) -> None:
    """Check that two fits are equal to the last bit; one that does not save is not compared."""
    if not one.saves:
        return
    first, second = one.state(), other.state()
    check(first.keys() == second.keys(), f"{what} changes which arrays make up the fit")
    for name, array in first.items():
        equal = np.array_equal(array, second[name], equal_nan=array.dtype.kind == "f")
        check(equal, f"{what} changes {name!r} of the fit")


def content_of(cohort: Cohort) -> str:
    """Hash of everything in a cohort."""
    total = hashlib.sha256(pd.util.hash_pandas_object(cohort.cases).to_numpy().tobytes())
    for modality in cohort.modalities.values():
        if isinstance(modality, Bags):
            arrays = [modality.features, modality.start, modality.length]
        else:
            arrays = [modality.values, modality.row]
        for array in arrays:
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
