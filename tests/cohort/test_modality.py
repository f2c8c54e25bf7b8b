"""Bags and gene groups: masking and selecting copy indices, never features."""

import numpy as np
import pytest

from survbench.cohort import Bags, GeneGroups
from survbench.errors import CohortError


def bags() -> Bags:
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    return Bags(features, start=np.array([0, 3, 0]), length=np.array([3, 3, 0]))


def genes() -> GeneGroups:
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    return GeneGroups.of(values, ["A", "B", "C"], ["rna"] * 3, {"one": [0, 1], "two": [1, 2]})


def test_a_bag_of_length_zero_is_absent() -> None:
    assert bags().present.tolist() == [True, True, False]
    assert bags().bag(2).shape == (0, 2)


def test_select_and_absent_share_the_features() -> None:
    cut = bags().select(np.array([1, 0])).absent(np.array([True, False]))
    original = bags()
    assert np.shares_memory(original.select([1]).features, original.features)
    assert np.shares_memory(original.absent(np.ones(3, bool)).features, original.features)
    assert cut.present.tolist() == [False, True]
    assert cut.bag(1).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_standardisation_is_applied_when_a_bag_is_read() -> None:
    scaled = Bags(
        bags().features,
        bags().start,
        bags().length,
        shift=np.array([0.0, 1.0]),
        scale=np.array([2.0, 4.0]),
    )
    assert scaled.bag(0).tolist() == [[0, 0], [1, 0.5], [2, 1]]


def test_gather_lays_bags_end_to_end_in_the_order_asked_for() -> None:
    assert bags().gather([1, 0]).tolist() == [[6, 7], [8, 9], [10, 11], [0, 1], [2, 3], [4, 5]]


def test_filler_stands_in_for_absent_bags_only() -> None:
    filled = bags().filled(np.array([[7.0, 8.0]]))
    assert filled.present.all()
    assert filled.bag(2).tolist() == [[7, 8]]
    assert filled.bag(0).tolist() == bags().bag(0).tolist()


def test_half_precision_features_are_read_as_float32() -> None:
    half = Bags(bags().features.astype(np.float16), bags().start, bags().length)
    assert half.bag(0).dtype == np.float32
    assert half.features.dtype == np.float16


def test_bags_that_reach_past_the_features_are_refused() -> None:
    with pytest.raises(CohortError, match="reach past the 6 patches"):
        Bags(bags().features, start=np.array([4]), length=np.array([3]))


def test_float64_features_are_refused() -> None:
    with pytest.raises(CohortError, match="float16 or float32, found float64"):
        Bags(bags().features.astype(np.float64), bags().start, bags().length)


def test_genes_of_an_absent_patient_cannot_be_read() -> None:
    masked = genes().absent(np.array([False, True]))
    assert masked.present.tolist() == [True, False]
    assert masked.matrix().tolist() == [[1, 2, 3]]
    with pytest.raises(CohortError, match="patient who has none"):
        masked.matrix([1])


def test_a_column_in_two_groups_stands_once() -> None:
    assert genes().width == 3
    assert [genes().groups[name].tolist() for name in ("one", "two")] == [[0, 1], [1, 2]]


def test_an_empty_gene_group_is_refused() -> None:
    with pytest.raises(CohortError, match="'none' is empty"):
        GeneGroups.of(np.ones((1, 1)), ["A"], ["rna"], {"none": []})
