"""Tissue source site alone: same site, same risk, and nothing else counts."""

from dataclasses import replace

import numpy as np
import pytest

from survbench.check import sample_cohort
from survbench.errors import InputError
from survbench.methods.site import Site


def test_patients_of_one_site_share_one_risk() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(20, seed=2)
    risk = Site().fit(train).predict(test).risk
    for site in ("A1", "B2", "C3"):
        assert len(set(risk[test.cases["site"] == site])) == 1


def test_the_deadlier_site_has_the_higher_risk() -> None:
    train = sample_cohort(60, seed=1)
    first = np.arange(60) < 30
    time = np.where(first, 1.0, 50.0) + np.arange(60) / 60
    site = np.where(first, "A1", "B2")
    cases = train.cases.assign(time=time, event=True, site=site)
    risk = Site().fit(replace(train, cases=cases)).predict(replace(train, cases=cases)).risk
    assert risk[first].min() > risk[~first].max()


def test_an_unseen_site_has_no_column_set() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(3, seed=2)
    method = Site().fit(train)
    far = replace(test, cases=test.cases.assign(site="Z9"))
    offset = -sum(float(method.model.weight[c][0] * m[0]) for c, m in method.model.centre.items())
    np.testing.assert_allclose(method.predict(far).risk, offset, atol=1e-12)


def test_a_cohort_without_sites_is_an_input_error() -> None:
    train = sample_cohort(40)
    with pytest.raises(InputError, match="needs one of the covariates site"):
        Site().fit(replace(train, cases=train.cases.drop(columns=["site"])))
