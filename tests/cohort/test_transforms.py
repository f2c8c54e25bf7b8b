"""Transforms: numbers by hand, and fitted on the patients who have the modality."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from survbench.cohort import Bags, Cohort, CohortInfo, GeneGroups, Transforms
from survbench.errors import InputError


def genes_of(values: list[list[float]], kinds: list[str], **kept: NDArray[np.bool_]) -> GeneGroups:
    names = [f"GENE{one}_{kind}" for one, kind in enumerate(kinds)]
    return GeneGroups.of(np.array(values), names, kinds, {"all": list(range(len(kinds)))}, **kept)


def cohort_with(info: CohortInfo | None = None, **modalities: Bags | GeneGroups) -> Cohort:
    count = len(next(iter(modalities.values())))
    index = pd.Index([f"C{one}" for one in range(count)], name="case_id")
    cases = pd.DataFrame({"time": 1.0, "event": True}, index=index)
    return Cohort("hand", cases, modalities, info or CohortInfo())


def transformed(train: Cohort, other: Cohort, name: str = "G") -> NDArray[np.float32]:
    modality = Transforms.fit(train).apply(other).modalities[name]
    assert isinstance(modality, GeneGroups)
    return modality.matrix()


def test_rna_is_logged_with_its_sign_then_standardised() -> None:
    # sign(x) log1p|x| of e - 1, 1 - e and 0 is 1, -1 and 0: mean 0, deviation sqrt(2 / 3)
    raw = [[np.e - 1], [1 - np.e], [0.0]]
    cohort = cohort_with(G=genes_of(raw, ["rna"]))
    expected = np.array([[1.0], [-1.0], [0.0]]) / np.sqrt(2 / 3)
    np.testing.assert_allclose(transformed(cohort, cohort), expected, rtol=1e-6)


def test_copy_number_and_mutations_are_standardised_without_the_logarithm() -> None:
    # cnv 0, 2: mean 1, deviation 1; mut 0, 1: mean 1/2, deviation 1/2
    cohort = cohort_with(G=genes_of([[0, 0], [2, 1]], ["cnv", "mut"]))
    np.testing.assert_allclose(transformed(cohort, cohort), [[-1, -1], [1, 1]], rtol=1e-6)


def test_values_are_clipped_at_five_deviations_of_the_training_patients() -> None:
    train = cohort_with(G=genes_of([[0.0], [2.0]], ["cnv"]))
    test = cohort_with(G=genes_of([[100.0], [-100.0], [5.5]], ["cnv"]))
    np.testing.assert_allclose(transformed(train, test), [[5.0], [-5.0], [4.5]], rtol=1e-6)


def test_a_constant_column_is_centred_and_stays_finite() -> None:
    train = cohort_with(G=genes_of([[3.0], [3.0]], ["cnv"]))
    test = cohort_with(G=genes_of([[3.0], [4.0]], ["cnv"]))
    np.testing.assert_allclose(transformed(train, test), [[0], [1]], atol=1e-6)


def test_absent_patients_do_not_count() -> None:
    has = np.array([True, True, False])
    cohort = cohort_with(G=genes_of([[0.0], [2.0], [np.nan]], ["cnv"], present=has))
    np.testing.assert_allclose(transformed(cohort, cohort), [[-1], [1]], rtol=1e-6)


def test_bag_columns_are_standardised_over_all_training_patches_where_the_cohort_says() -> None:
    # three patches of two patients: column 0 is 0, 0, 3 (mean 1, deviation sqrt 2)
    features = np.array([[0, 7], [0, 7], [3, 7], [9e9, 9e9]], np.float32)
    bags = Bags(features, start=np.array([0, 2]), length=np.array([2, 1]))
    cohort = cohort_with(CohortInfo(standardise=("P",)), P=bags)
    out = Transforms.fit(cohort).apply(cohort).modalities["P"]
    assert isinstance(out, Bags)
    np.testing.assert_allclose(out.bag(1), [[2 / np.sqrt(2), 0]], rtol=1e-6)
    np.testing.assert_allclose(out.bag(0)[:, 0], -1 / np.sqrt(2), rtol=1e-6)
    assert np.shares_memory(out.features, features)
    plain = cohort_with(P=bags)
    same = Transforms.fit(plain).apply(plain).modalities["P"]
    assert isinstance(same, Bags)
    np.testing.assert_array_equal(same.bag(1), [[3, 7]])


def test_a_modality_no_training_patient_has_is_an_input_error() -> None:
    nobody = np.zeros(2, bool)
    with pytest.raises(InputError, match="no training patient has gene measurements"):
        Transforms.fit(cohort_with(G=genes_of([[1.0], [2.0]], ["cnv"], present=nobody)))
