import numpy as np

from survbench.learn.centres import centres


def test_separate_clouds_have_their_means() -> None:
    draw = np.random.default_rng(0)
    clouds = [draw.normal(size=(20, 3)) + 100 * shift for shift in (0, 1, 2)]
    found = centres(np.concatenate(clouds), 3, seed=1)
    expected = [cloud.mean(axis=0) for cloud in clouds]
    np.testing.assert_allclose(found[found[:, 0].argsort()], expected)


def test_fewer_latents_than_centres_are_repeated() -> None:
    found = centres(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]), 5, seed=1)
    assert found.tolist() == [[1, 2], [3, 4], [1, 2], [3, 4], [1, 2]]
    assert centres(np.empty((0, 2)), 3, seed=1).tolist() == [[0, 0]] * 3


def test_a_seed_is_a_result() -> None:
    values = np.random.default_rng(0).normal(size=(60, 4))
    assert np.array_equal(centres(values, 6, seed=2**62 + 1), centres(values, 6, seed=2**62 + 1))
