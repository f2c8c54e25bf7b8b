"""The negative control: outcomes change hands within a fold, everything else stays."""

from collections.abc import Callable

import numpy as np
import pytest

from survbench.bench.ground import Source
from survbench.bench.plan import Plan
from survbench.errors import UnknownNameError
from tests.bench.conftest import run_here

Planner = Callable[..., Plan]


def test_permuted_outcomes_stay_in_their_fold_and_features_stay_in_place() -> None:
    ground = Source("demo").ground
    permuted = ground.under("permute", 3)
    for fold in ground.folds:
        before, after = ground.test(fold), permuted.test(fold)
        assert list(after.case_id) == list(before.case_id)
        assert after.modalities["P"].present.tolist() == before.modalities["P"].present.tolist()
        pairs = zip(before.time, before.event, strict=True)
        assert sorted(zip(after.time, after.event, strict=True)) == sorted(pairs)
        assert (after.time != before.time).mean() > 0.8
    assert permuted.cohort.modalities is ground.cohort.modalities
    assert permuted.cohort.cases["age"].equals(ground.cohort.cases["age"])


def test_the_seed_names_the_permutation() -> None:
    ground = Source("demo").ground
    first, again, other = (ground.under("permute", seed).cohort.time for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert ground.under("none", 1) is ground


def test_training_and_test_patients_of_a_cell_have_the_same_permuted_outcomes(
    plan: Planner,
) -> None:
    run_here(made := plan(control="permute", seeds=(2,), folds=(0, 1)))
    permuted = Source("demo").ground.under("permute", 2).cohort
    known = dict(
        zip(permuted.case_id, zip(permuted.time, permuted.event, strict=True), strict=True)
    )
    for task in made.tasks:
        if task.setting.method != "plain":
            continue
        found = task.cell.scorable("none")
        told = zip(found.case_id, found.time, found.event, strict=True)
        assert all(known[case] == (time, event) for case, time, event in told)
        assert found.train_time is not None
        rest = permuted.time[~np.isin(permuted.case_id, found.case_id)]
        assert sorted(found.train_time) == sorted(rest)


def test_the_truth_is_run_under_every_permutation(plan: Planner) -> None:
    cells = {
        (task.cell.seed, task.cell.fold)
        for task in plan(control="permute", seeds=(0, 1)).tasks
        if task.setting.method == "oracle"
    }
    assert cells == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_a_control_keeps_apart_from_the_real_cells(plan: Planner) -> None:
    real, control = plan(), plan(control="permute")
    assert not real.settings & control.settings


def test_an_unknown_control_is_refused(plan: Planner) -> None:
    with pytest.raises(UnknownNameError, match="permute"):
        plan(control="permuted")
