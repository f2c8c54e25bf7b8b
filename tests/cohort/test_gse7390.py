"""The embedded cohort of real patients, held against scikit-survival's own table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sksurv.datasets import load_breast_cancer

from survbench.cohort.catalogue import list_cohorts, load_cohort
from survbench.cohort.cohort import Cohort
from survbench.cohort.demo import simulate
from survbench.cohort.folds import read_splits
from survbench.cohort.gse7390 import TOKEN, gse7390
from survbench.cohort.modality import Bags, GeneGroups
from survbench.errors import CohortError, UnknownNameError

DATA_HASH = "0d49383d9632a1e8336d781a8b901171a627bb2c81870532d7566744aa18fcdd"


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return gse7390()


def test_all_198_patients_are_there_with_51_metastases(cohort: Cohort) -> None:
    assert len(cohort) == 198
    assert cohort.event.sum() == 51
    assert cohort.info.dropped == {}  # nobody has time <= 0
    assert cohort.info.data_hash == DATA_HASH


def test_days_became_months(cohort: Cohort) -> None:
    _, outcome = load_breast_cancer()
    assert cohort.time[0] == pytest.approx(723 / 30.44)
    assert np.allclose(cohort.time * 30.44, outcome["t.tdm"])


def test_genes_are_one_group_of_76(cohort: Cohort) -> None:
    table, _ = load_breast_cancer()
    genes = cohort.modalities["G"]
    assert isinstance(genes, GeneGroups)
    assert [len(index) for index in genes.groups.values()] == [76]
    assert np.allclose(genes.matrix()[:, 0], table["X200726_at"])


def test_pathology_is_one_token_of_clinical_variables_and_says_so(cohort: Cohort) -> None:
    table, _ = load_breast_cancer()
    bags = cohort.modalities["P"]
    assert isinstance(bags, Bags)
    assert (bags.length == 1).all()
    token = dict(zip(TOKEN, bags.features.T, strict=True))
    assert np.allclose(token["age"], table["age"])
    assert token["er_positive"].sum() == 134
    grades = [token[name] for name in TOKEN if name.startswith("grade")]
    assert [int(grade.sum()) for grade in grades] == [83, 83, 30, 2]
    assert (sum(grades) == 1).all()
    assert "one-token bag" in cohort.info.note
    assert cohort.info.standardise == ("P",)


def test_the_horizon_has_ten_patients_at_risk_in_every_fold(cohort: Cohort) -> None:
    assert cohort.info.horizon_months is not None
    fold = read_splits("gse7390").align(cohort).fold
    at_risk = [(cohort.time[fold == k] > cohort.info.horizon_months).sum() for k in range(5)]
    assert min(at_risk) >= 10


def test_every_listed_cohort_loads_under_its_name() -> None:
    for name in list_cohorts():
        cohort = load_cohort(name)
        assert cohort.name == name
        assert cohort.info.embedded
        assert cohort.info.default_splits == name


def test_a_folder_named_like_a_cohort_does_not_shadow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert load_cohort("demo").info.data_hash == simulate("demo").info.data_hash


def test_unknown_cohorts_are_named_with_a_remedy() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown cohort 'dmeo'. Did you mean 'demo'\?"):
        load_cohort("dmeo")
    with pytest.raises(CohortError, match="survbench cohort build"):
        load_cohort("nowhere/tcga_luad")
