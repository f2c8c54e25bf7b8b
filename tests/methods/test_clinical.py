"""Ridge Cox on covariates: categories of the training fold, blanks, and cohorts without any."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from survbench.check import sample_cohort
from survbench.cohort import Cohort
from survbench.errors import InputError
from survbench.methods.clinical import Clinical


def changed(cohort: Cohort, **columns: Any) -> Cohort:
    """Cohort with other covariates."""
    return replace(cohort, cases=cohort.cases.assign(**columns))


def test_older_patients_die_earlier_where_age_was_simulated_so() -> None:
    method = Clinical().fit(sample_cohort(80, seed=1))
    test = sample_cohort(10, seed=2)
    old, young = (method.predict(changed(test, age=age)).risk for age in (80.0, 40.0))
    assert (old > young).all()


def test_a_blank_age_is_the_training_mean() -> None:
    train, test = sample_cohort(40, seed=1), sample_cohort(10, seed=2)
    method = Clinical().fit(train)
    blank = method.predict(changed(test, age=np.nan)).risk
    mean = method.predict(changed(test, age=train.cases["age"].mean())).risk
    np.testing.assert_allclose(blank, mean, atol=1e-12)


def test_a_blank_age_in_training_does_not_move_the_mean() -> None:
    train = sample_cohort(40, seed=1)
    age = train.cases["age"].where(np.arange(40) % 5 > 0)
    method = Clinical().fit(changed(train, age=age))
    assert method.model.centre["age"][0] == pytest.approx(age.mean() / 10)


def test_unknown_and_blank_categories_have_no_column_set() -> None:
    method = Clinical().fit(sample_cohort(40, seed=1))
    test = sample_cohort(10, seed=2)
    unknown = method.predict(changed(test, histology="never seen")).risk
    blank = method.predict(changed(test, histology=None)).risk
    known = method.predict(changed(test, histology="IDC")).risk
    np.testing.assert_array_equal(unknown, blank)
    weight = method.model.weight["histology=IDC"][0]
    np.testing.assert_allclose(known - unknown, weight, atol=1e-12)


def test_one_column_per_category_of_the_training_fold() -> None:
    method = Clinical().fit(sample_cohort(40, seed=1))
    assert sorted(method.model.centre) == [
        "age", "histology=IDC", "histology=ILC", "sex=female", "sex=male",
    ]  # fmt: skip


def test_it_uses_the_covariates_the_cohort_has() -> None:
    train = sample_cohort(40, seed=1)
    bare = replace(train, cases=train.cases.drop(columns=["sex"]).assign(histology=""))
    assert sorted(Clinical().fit(bare).model.centre) == ["age"]


def test_a_cohort_without_covariates_is_an_input_error_with_a_remedy() -> None:
    train = sample_cohort(40, seed=1)
    bare = replace(train, cases=train.cases[["time", "event", "site"]])
    with pytest.raises(InputError, match=r"age, histology, sex.*add the column to cases\.csv"):
        Clinical().fit(bare)


def test_a_covariate_gone_in_prediction_is_an_input_error() -> None:
    train = sample_cohort(40, seed=1)
    method = Clinical().fit(train)
    with pytest.raises(InputError, match="no covariate 'sex'"):
        method.predict(replace(train, cases=train.cases.drop(columns=["sex"])))


def test_no_regime_changes_it() -> None:
    method, test = Clinical().fit(sample_cohort(40, seed=1)), sample_cohort(10, seed=2)
    np.testing.assert_array_equal(method.predict(test).risk, method.predict(test, missing="P").risk)
