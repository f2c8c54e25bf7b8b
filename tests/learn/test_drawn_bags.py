from dataclasses import replace

import numpy as np

from survbench.check import sample_cohort
from survbench.cohort import Bags
from survbench.learn import Batch
from survbench.learn.drawn_bags import DrawnBags, draw_patches

FEATURES = np.arange(20, dtype=np.float32).reshape(10, 2)


def bags() -> Bags:
    return Bags(FEATURES, np.array([0, 7, 8]), np.array([7, 1, 2]))


def test_no_more_patches_than_asked_are_read_in_order_and_without_repeats() -> None:
    drawn = DrawnBags.of(bags(), 3, np.random.default_rng(0))
    assert drawn.length.tolist() == [3, 1, 2]
    column = [drawn.bag(0)[:, 0] for _ in range(30)]
    assert all((np.diff(one) > 0).all() for one in column)
    assert set(np.concatenate(column)) == set(FEATURES[:7, 0])  # in the end all are
    np.testing.assert_array_equal(drawn.bag(2), FEATURES[8:])


def test_standardisation_and_selection_hold() -> None:
    scaled = replace(bags(), shift=np.array([1.0, 2.0]), scale=np.array([2.0, 4.0]))
    drawn = DrawnBags.of(scaled, 6, np.random.default_rng(0)).select(np.array([2, 0]))
    assert drawn.length.tolist() == [2, 6]
    rows = {tuple(row) for row in scaled.bag(0)}
    assert all(tuple(row) in rows for row in drawn.bag(1))
    np.testing.assert_array_equal(drawn.bag(0), scaled.bag(2))


def test_a_filler_is_read_whole() -> None:
    filled = bags().absent(np.array([True, False, False])).filled(np.zeros((5, 2), np.float32))
    drawn = DrawnBags.of(filled, 3, np.random.default_rng(0))
    assert drawn.length.tolist() == [5, 1, 2]
    assert drawn.bag(0).shape == (5, 2)


def test_a_batch_of_a_drawn_cohort_is_of_drawn_bags() -> None:
    cohort = draw_patches(sample_cohort(8), 2, seed=1)
    batch = Batch.of(cohort, np.arange(8))
    assert int(batch.bags("P").length.max()) == 2
    assert len(batch.bags("P").features) == int(batch.bags("P").length.sum())
