"""What is Meanpair's own; the promises of every method are tried by `survbench check`."""

from dataclasses import replace

import numpy as np
import torch

from survbench import Bags, Cohort
from survbench.check import sample_cohort
from survbench.learn import Batch, Widths

from survbench_meanpair import MeanpairConfig, MeanpairNet


def doubled(cohort: Cohort) -> Cohort:
    """Cohort in whose bags every patch stands twice."""
    bags = cohort.modalities["P"]
    assert isinstance(bags, Bags)
    features = np.repeat(bags.features, 2, axis=0)
    twice = replace(bags, features=features, start=2 * bags.start, length=2 * bags.length)
    return replace(cohort, modalities={**cohort.modalities, "P": twice})


def test_a_bag_whose_patches_stand_twice_is_the_same_patient() -> None:
    cohort = sample_cohort(6)
    rows = np.arange(len(cohort))
    net = MeanpairNet(MeanpairConfig(), Widths.of(cohort, 4))
    once, twice = (net(Batch.of(one, rows)) for one in (cohort, doubled(cohort)))
    torch.testing.assert_close(once, twice)
