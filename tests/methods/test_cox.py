"""Ridge Cox: what it reads, and what happens to it without a block."""

import numpy as np
import pytest
from numpy.typing import NDArray

from survbench.check import sample_cohort
from survbench.cohort import Cohort
from survbench.errors import InputError
from survbench.learn.ridge_cox import concordant
from survbench.methods.cox import Cox, CoxConfig


def test_it_ranks_new_patients_nearly_as_well_as_the_simulated_truth() -> None:
    train, test = sample_cohort(120, seed=1), sample_cohort(400, seed=2)
    latent = np.random.default_rng(2).normal(size=400)  # the first draw of the sample cohort
    found, best = (
        share_right(test, risk) for risk in (Cox().fit(train).predict(test).risk, latent)
    )
    assert found > best - 0.03


def share_right(cohort: Cohort, risk: NDArray[np.float64]) -> float:
    """Share of comparable pairs ranked rightly."""
    right, wrong = (concordant(cohort.time, cohort.event, sign * risk) for sign in (1, -1))
    return right / (right + wrong)


@pytest.mark.parametrize(("use", "free"), [("P", "G"), ("G", "P")])
def test_what_it_does_not_use_may_be_missing_without_a_mark(use: str, free: str) -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    method = Cox(CoxConfig(use=use)).fit(train)
    whole, without = method.predict(test), method.predict(test, missing=free)
    np.testing.assert_array_equal(whole.risk, without.risk)
    assert not method.filled(test, missing=free)
    assert method.filled(test, missing=use)


def test_both_modalities_named_are_both_used() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    named, default = Cox(CoxConfig(use="PG")).fit(train), Cox().fit(train)
    np.testing.assert_array_equal(named.predict(test).risk, default.predict(test).risk)
    assert Cox(CoxConfig(use="P,G")).uses == {"P", "G"}


def test_without_its_only_block_everybody_has_the_same_risk() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    risk = Cox(CoxConfig(use="G")).fit(train).predict(test, missing="G").risk
    np.testing.assert_allclose(risk, 0, atol=1e-6)  # the training mean, filled in float32


def test_a_modality_the_cohort_lacks_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'R'"):
        Cox(CoxConfig(use="PR")).fit(sample_cohort(30))


def test_edges_are_finite_and_end_before_the_last_death() -> None:
    train = sample_cohort(60, seed=1)
    edges = np.asarray(Cox().fit(train).predict(train).edges)
    assert np.isfinite(edges).all()
    assert edges[-1] == np.quantile(train.time[train.event], 0.75)
