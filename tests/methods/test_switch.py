"""One ridge Cox per set of modalities: each patient gets the model of what they have."""

import numpy as np
import pytest

from survbench.check import sample_cohort
from survbench.errors import MissingModalityError
from survbench.methods.cox import Cox, CoxConfig
from survbench.methods.switch import Switch


def test_every_set_of_modalities_has_a_model() -> None:
    method = Switch().fit(sample_cohort(40, ("P", "G", "R"), seed=1))
    assert set(method.models) == {
        ("P",), ("G",), ("R",), ("P", "G"), ("P", "R"), ("G", "R"), ("P", "G", "R"),
    }  # fmt: skip


@pytest.mark.parametrize(("use", "missing"), [("P", "G"), ("G", "P"), ("PG", "none")])
def test_each_set_predicts_as_ridge_cox_on_those_modalities(use: str, missing: str) -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    alone = Cox(CoxConfig(use=use)).fit(train).predict(test)
    picked = Switch().fit(train).predict(test, missing=missing)
    np.testing.assert_allclose(picked.risk, alone.risk, atol=1e-12)
    assert picked.survival is not None
    assert alone.survival is not None
    np.testing.assert_allclose(picked.survival, alone.survival, atol=1e-12)


def test_a_mixed_cohort_is_predicted_patient_by_patient() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    method = Switch().fit(train)
    lacks = np.arange(20) % 2 == 0
    mixed = method.predict(test.absent({"P": lacks})).risk
    np.testing.assert_array_equal(mixed[~lacks], method.predict(test).risk[~lacks])
    np.testing.assert_array_equal(mixed[lacks], method.predict(test, missing="P").risk[lacks])


def test_risks_of_all_sets_are_centred_on_the_training_mean() -> None:
    train = sample_cohort(40, seed=1)
    method = Switch().fit(train)
    for missing in ("none", "P", "G"):
        assert method.predict(train, missing=missing).risk.mean() == pytest.approx(0, abs=1e-6)


def test_each_set_learns_from_everybody_who_has_it() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    lacks = np.arange(40) % 4 == 0
    method = Switch().fit(train.absent({"P": lacks}))
    genes = Cox(CoxConfig(use="G")).fit(train).predict(test).risk
    np.testing.assert_allclose(method.predict(test, missing="P").risk, genes, atol=1e-12)


def test_a_set_nobody_was_trained_on_falls_back_to_its_largest_part() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    even = np.arange(40) % 2 == 0
    method = Switch().fit(train.absent({"P": even, "G": ~even}))
    assert set(method.models) == {("P",), ("G",)}
    np.testing.assert_array_equal(method.predict(test).risk, method.predict(test, missing="G").risk)


def test_a_set_no_death_was_seen_with_is_refused() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    method = Switch().fit(train.absent({"P": train.event}))
    assert set(method.models) == {("G",)}
    with pytest.raises(MissingModalityError, match="no training patient with any of P"):
        method.predict(test, missing="G")
