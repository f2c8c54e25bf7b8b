"""Seeds and the states of the global random generators."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from survbench.streams import isolated, random_states, set_random_states

DRAWS: dict[str, Callable[[], float]] = {
    "torch": lambda: float(torch.rand(())),
    "numpy": lambda: float(np.random.rand()),  # noqa: NPY002
    "python": random.random,
}


@pytest.mark.parametrize("generator", DRAWS)
def test_each_generator_is_part_of_the_random_states_and_goes_on_from_them(generator: str) -> None:
    draw = DRAWS[generator]
    with isolated(0):
        before = random_states()
        assert before == random_states()
        first = draw()
        after = random_states()
        assert [name for name in after if after[name] != before[name]] == [generator]
        set_random_states(before)
        assert random_states() == before
        assert draw() == first
