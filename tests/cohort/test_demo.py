"""The simulated cohorts, whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sksurv.metrics import concordance_index_censored

from survbench.cohort.cohort import Cohort
from survbench.cohort.demo import (
    LOADING,
    MARKER_CUT,
    SPREAD,
    VARIANTS,
    _directions,
    _gene_signal,
    simulate,
)
from survbench.cohort.folds import read_splits
from survbench.cohort.gse7390 import gse7390
from survbench.cohort.modality import Bags, GeneGroups
from survbench.cohort.regime import Regime
from survbench.cohort.truth import attainable_risk, oracle_risk
from survbench.errors import CohortError, InputError, UnknownNameError

# Pinned before any network saw the data. A change here changes every demo number: raise it in
# CHANGELOG.md.
DATA_HASH = {
    "demo": "e70daf917fa3a0803bf41836e52f2115d6caa45801e2e712ee0616acbc68b926",
    "demo-shared": "ef42406b63d406bbb49c30ffc4bb2074549cad55cffe30365842477887abbeea",
    "demo-specific": "c9b8cd040fa7a6c675d710d99c7d8ed2e931d4b6ecb4218eb05e7fdc0c68405d",
    "demo-null": "21596c46908d1f837bf71d96cf46d0727b858a768cac5231d4865c57f9d2b520",
}


def c_index(cohort: Cohort, risk: NDArray[np.float64]) -> float:
    result = concordance_index_censored(cohort.event, cohort.time, risk, tied_tol=1e-8)
    return float(result[0])


def without(cohort: Cohort, *names: str) -> Cohort:
    return cohort.absent({name: np.ones(len(cohort), bool) for name in names})


@pytest.fixture(scope="module")
def demo() -> Cohort:
    return simulate()


@pytest.fixture(scope="module")
def three() -> Cohort:
    return simulate(n=60, modalities=("P", "G", "R"), patches=(5, 9))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_generator_gives_the_pinned_data(variant: str) -> None:
    assert simulate(variant).info.data_hash == DATA_HASH[variant]


def test_the_cohort_is_what_its_documentation_says(demo: Cohort) -> None:
    bags, genes = demo.modalities["P"], demo.modalities["G"]
    assert isinstance(bags, Bags)
    assert isinstance(genes, GeneGroups)
    assert len(demo) == 200
    assert 0.55 <= demo.event.mean() <= 0.65
    assert (demo.time > 0).all()
    assert bags.length.min() >= 20
    assert bags.length.max() <= 120
    assert bags.width == 64
    sizes = [len(index) for index in genes.groups.values()]
    assert len(sizes) == 6
    assert (min(sizes), max(sizes)) == (10, 40)
    assert sum(sizes) > genes.width  # groups overlap


def test_about_a_third_of_the_patches_is_marked_and_no_patch_is_in_doubt(demo: Cohort) -> None:
    bags = demo.modalities["P"]
    assert isinstance(bags, Bags)
    place = bags.features.astype(np.float64) @ _directions(64, 3)[0]
    assert 0.28 <= (place > MARKER_CUT).mean() <= 0.38
    assert np.abs(place - MARKER_CUT).min() > 0.45  # the two kinds are half a unit off the cut


@pytest.mark.parametrize(("variant", "fold"), [(v, k) for v in VARIANTS for k in (0, 4)])
def test_the_horizon_has_ten_patients_at_risk_in_every_fold(variant: str, fold: int) -> None:
    cohort = simulate(variant)
    assert cohort.info.horizon_months is not None
    tested = read_splits(variant).align(cohort).fold == fold
    assert (cohort.time[tested] > cohort.info.horizon_months).sum() >= 10


def test_oracle_is_the_gaussian_posterior_of_the_raw_measurements(demo: Cohort) -> None:
    """Condition the joint normal of latents and every raw number of one patient, by brute force."""
    bags, genes = demo.modalities["P"], demo.modalities["G"]
    assert isinstance(bags, Bags)
    assert isinstance(genes, GeneGroups)
    # Latents: shared0, shared1, P, G. Shares 0.4 and 0.6, each split over two.
    weight = SPREAD * np.sqrt([0.2, 0.2, 0.3, 0.3])
    marker, *direction = _directions(64, 3)
    shown, sign = _gene_signal(3)
    gene_loading = np.zeros((len(shown), 4))
    for gene in np.flatnonzero(shown >= 0):
        gene_loading[gene, (0, 1, 3)[shown[gene]]] = LOADING * sign[gene]
    gene_noise = np.where(shown >= 0, 1 - LOADING**2, 1.0)
    for row in (0, 17):
        patch = bags.bag(row).astype(np.float64)
        patch = patch[patch @ marker > MARKER_CUT]
        patch = patch - np.outer(patch @ marker, marker)  # known, and says nothing
        patch_loading = np.tile(np.c_[np.array(direction).T, np.zeros(64)], (len(patch), 1))
        loading = {"P": patch_loading, "G": gene_loading}
        noise = {"P": np.ones(patch.size), "G": gene_noise}
        value = {"P": patch.ravel(), "G": genes.matrix([row])[0]}
        for names in (("P",), ("G",), ("P", "G")):
            a = np.concatenate([loading[m] for m in names])
            b = np.concatenate([noise[m] for m in names])
            x = np.concatenate([value[m] for m in names])
            expected = weight @ a.T @ np.linalg.solve(a @ a.T + np.diag(b), x)
            masked = without(demo, *({"P", "G"} - set(names)))
            assert oracle_risk(masked)[row] == pytest.approx(expected, abs=2e-4)


def test_oracle_errors_are_uncorrelated_with_it_for_every_set_of_modalities() -> None:
    """A posterior mean m of x has E[m (x - m)] = 0; the sample mean is within 4 standard errors."""
    cohort = simulate(n=800, modalities=("P", "G", "R"), patches=(5, 12))
    truth = cohort.info.truth
    assert truth is not None
    columns = [column for column in truth if str(column).startswith("oracle:")]
    assert len(columns) == 7
    for column in columns:
        product = truth[column] * (truth["log_hazard"] - truth[column])
        assert abs(product.mean()) < 4 * product.std() / np.sqrt(len(cohort))


def test_oracle_and_attainable_reach_what_the_demo_promises(demo: Cohort) -> None:
    fold = read_splits("demo").align(demo).fold
    for names, least in (((), 0.75), (("P",), 0.65), (("G",), 0.65)):
        masked = without(demo, *names)
        oracle, attainable = [], []
        for k in range(5):
            train, test = demo.select(fold != k), masked.select(fold == k)
            oracle.append(c_index(test, oracle_risk(test)))
            attainable.append(c_index(test, attainable_risk(train, test)))
        assert np.mean(oracle) >= least
        assert np.mean(attainable) >= np.mean(oracle) - 0.03


@pytest.mark.parametrize("missing", ["P", "G"])
def test_a_missing_modality_costs_almost_nothing_when_all_is_shared(missing: str) -> None:
    cohort = simulate("demo-shared")
    complete = c_index(cohort, oracle_risk(cohort))
    assert c_index(cohort, oracle_risk(without(cohort, missing))) > complete - 0.02


def test_modalities_of_demo_specific_say_nothing_about_each_other() -> None:
    cohort = simulate("demo-specific", n=1000, patches=(5, 9))
    truth = cohort.info.truth
    assert truth is not None
    pathology, genomics = truth["statistic:P:P"], truth["statistic:G:G"]
    assert abs(np.corrcoef(pathology, genomics)[0, 1]) < 4 / np.sqrt(len(cohort))
    assert np.allclose(truth["oracle:G+P"], truth["oracle:P"] + truth["oracle:G"])


def test_demo_null_has_an_oracle_that_ties_everyone() -> None:
    cohort = simulate("demo-null")
    assert c_index(cohort, oracle_risk(cohort)) == 0.5
    assert np.ptp(oracle_risk(without(cohort, "G"))) == 0


def test_covariates_do_not_predict_the_log_hazard() -> None:
    cohort = simulate(n=2000, modalities=("G",))
    truth = cohort.info.truth
    assert truth is not None
    log_hazard = (truth["log_hazard"] - truth["log_hazard"].mean()) / truth["log_hazard"].std()
    limit = 4 / np.sqrt(len(cohort))
    assert abs(np.corrcoef(cohort.cases["age"], log_hazard)[0, 1]) < limit
    for column in ("sex", "histology", "site"):
        mean = log_hazard.groupby(cohort.cases[column]).agg(["mean", "size"])
        assert (mean["mean"].abs() < 4 / np.sqrt(mean["size"])).all()


def test_a_third_modality_leaves_the_data_of_the_others_alone(three: Cohort) -> None:
    two = simulate(n=60, patches=(5, 9))
    for name in ("P", "G"):
        mine, theirs = three.modalities[name], two.modalities[name]
        if isinstance(mine, Bags) and isinstance(theirs, Bags):
            assert np.array_equal(mine.features, theirs.features)
        if isinstance(mine, GeneGroups) and isinstance(theirs, GeneGroups):
            assert np.array_equal(mine.values, theirs.values)
    assert three.modalities["R"].width != three.modalities["P"].width
    assert three.info.default_splits is None


def test_rows_of_the_truth_follow_what_each_patient_has(three: Cohort) -> None:
    truth = three.info.truth
    assert truth is not None
    masked = Regime.parse("G@0.4+P@0.4+R@0.4").apply(three).cohort
    assert len({tuple(has) for has in masked.present.to_numpy()}) == 7
    risk = oracle_risk(masked)
    for row, has in enumerate(masked.present.to_dict("records")):
        column = "oracle:" + "+".join(sorted(str(name) for name in has if has[name]))
        assert risk[row] == truth.loc[masked.case_id[row], column]


def test_attainable_stands_on_training_patients_only_and_ignores_company(demo: Cohort) -> None:
    train, test = demo.select(np.arange(160)), demo.select(np.arange(160, 200))
    masked = Regime.parse("P@0.5").apply(test).cohort
    together = attainable_risk(train, masked)
    for row in range(0, 40, 8):
        alone = attainable_risk(train, masked.select([row]))[0]
        assert alone == pytest.approx(together[row], abs=1e-12)
    hidden = masked.cases.assign(time=1.0, event=True)
    outcome_free = Cohort(masked.name, hidden, masked.modalities, masked.info)
    assert np.array_equal(attainable_risk(train, outcome_free), together)


def test_attainable_falls_back_where_nobody_in_training_has_the_same_modalities(
    demo: Cohort,
) -> None:
    train, test = demo.select(np.arange(160)), demo.select(np.arange(160, 200))
    only_genes = without(train, "P")
    expected = attainable_risk(only_genes, without(test, "P"))
    assert np.array_equal(attainable_risk(only_genes, test), expected)
    assert np.ptp(attainable_risk(only_genes, without(test, "G"))) == 0


def test_truth_is_asked_of_simulated_cohorts_only() -> None:
    with pytest.raises(CohortError, match="'gse7390' is not simulated"):
        oracle_risk(gse7390())


def test_a_benchmark_can_ask_for_any_size() -> None:
    cohort = simulate(n=3, patches=(300, 300), width=128)
    bags = cohort.modalities["P"]
    assert isinstance(bags, Bags)
    assert bags.features.shape == (900, 128)
    assert (bags.length == 300).all()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'demo-shared'"):
        simulate("demo-shard")
    with pytest.raises(InputError, match="power of two"):
        simulate(width=100)
    with pytest.raises(InputError, match="different ones of P, G, R"):
        simulate(modalities=("P", "P"))
    with pytest.raises(InputError, match="n=0"):
        simulate(n=0)
    with pytest.raises(InputError, match="patches"):
        simulate(patches=(9, 3))
