import numpy as np
import pytest
import torch

from survbench.check import sample_cohort
from survbench.learn import Batch
from survbench.learn.hide import present_in, without


def batch() -> Batch:
    cohort = sample_cohort(6)
    rows = np.arange(6)
    return Batch.of(cohort.absent({"P": rows < 2, "G": rows == 5}), rows)


def test_who_has_what() -> None:
    present = present_in(batch(), ("G", "P"))
    assert present[:, 0].tolist() == [True] * 5 + [False]
    assert present[:, 1].tolist() == [False] * 2 + [True] * 4


@pytest.mark.parametrize("name", ["P", "G"])
def test_without_a_modality_nobody_has_it_and_the_other_is_as_it_was(name: str) -> None:
    whole = batch()
    less = without(whole, name)
    assert len(less) == 6
    assert len(less.modalities[name]) == 0
    (other,) = {"P", "G"} - {name}
    assert less.modalities[other] is whole.modalities[other]
    assert not bool(present_in(less, (name,)).any())
    assert torch.equal(present_in(less, (other,)), present_in(whole, (other,)))
