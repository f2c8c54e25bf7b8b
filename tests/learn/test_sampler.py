import numpy as np

from survbench.learn.sampler import balanced_weights


def test_weight_is_the_number_of_patients_over_the_number_in_ones_class() -> None:
    interval = np.array([0, 0, 0, 2, 2])
    event = np.array([True, True, False, True, True])
    np.testing.assert_array_equal(balanced_weights(interval, event), [2.5, 2.5, 5, 2.5, 2.5])


def test_every_class_that_has_patients_is_drawn_equally_often() -> None:
    generator = np.random.default_rng(0)
    interval = generator.choice([0, 1, 3], 200)  # nobody in interval 2
    event = generator.random(200) < 0.3
    weight = balanced_weights(interval, event)
    total = [
        weight[(interval == k) & (event == died)].sum() for k in (0, 1, 3) for died in (True, False)
    ]
    np.testing.assert_allclose(total, 200)
