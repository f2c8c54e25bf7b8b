import numpy as np
import pandas as pd
import pytest

from survbench.errors import InputError
from survbench.learn.intervals import label, time_edges


def test_edges_are_zero_the_quartiles_of_the_deaths_and_infinity() -> None:
    time = np.array([4.0, 1.0, 100.0, 3.0, 5.0, 2.0])
    event = np.array([True, True, False, True, True, True])
    np.testing.assert_array_equal(time_edges(time, event), [0, 2, 3, 4, np.inf])


@pytest.mark.parametrize("intervals", [1, 2, 4, 7])
def test_interior_edges_are_those_of_pandas_qcut(intervals: int) -> None:
    time = np.random.default_rng(0).weibull(1.3, 91) * 40
    edges = time_edges(time, np.ones(91, bool), intervals)
    _, theirs = pd.qcut(time, intervals, retbins=True)
    np.testing.assert_allclose(edges[1:-1], theirs[1:-1], rtol=1e-15)


def test_intervals_are_closed_on_the_left_and_reach_beyond_the_training_times() -> None:
    edges = np.array([0, 2, 3, 4, np.inf])
    time = np.array([1e-9, 1.999, 2.0, 3.0, 3.5, 4.0, 1e9])
    np.testing.assert_array_equal(label(time, edges), [0, 0, 1, 2, 2, 3, 3])


def test_quantiles_that_coincide_become_one_edge() -> None:
    time = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 9.0])
    # quartiles 1, 1, 2, 2, 9: the first is the least time, the two in the middle are one edge
    np.testing.assert_array_equal(time_edges(time, np.ones(9, bool)), [0, 2, np.inf])


def test_deaths_all_at_one_time_leave_one_interval() -> None:
    edges = time_edges(np.full(5, 3.0), np.ones(5, bool))
    np.testing.assert_array_equal(edges, [0, np.inf])
    np.testing.assert_array_equal(label(np.array([0.1, 3.0, 9.0]), edges), [0, 0, 0])


def test_training_without_a_death_is_an_error_that_says_so() -> None:
    with pytest.raises(InputError, match="none of the 3 training patients has a death"):
        time_edges(np.array([1.0, 2.0, 3.0]), np.zeros(3, bool))


@pytest.mark.parametrize("time", [0.0, -1.0, np.nan, np.inf])
def test_a_time_of_death_that_is_none_is_an_error(time: float) -> None:
    with pytest.raises(InputError, match="finite and above 0"):
        time_edges(np.array([1.0, time]), np.ones(2, bool))


def test_fewer_than_one_interval_is_an_error() -> None:
    with pytest.raises(InputError, match="intervals is 0"):
        time_edges(np.array([1.0]), np.ones(1, bool), 0)
