"""What a request becomes, and what is refused before anything is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from survbench.bench import ground as ground_module
from survbench.bench.ground import Source
from survbench.bench.plan import Plan, Request, make_plan
from survbench.cohort.demo import simulate
from survbench.cohort.folds import make_folds
from survbench.errors import InputError
from tests.bench.conftest import run_here

Planner = Callable[..., Plan]


def test_none_comes_first_and_regimes_are_canonical(plan: Planner) -> None:
    assert plan("plain", "G+P@0.50", "P@1", "P", "none").regimes == ("none", "G+P@0.5", "P")


def test_every_fold_and_seed_is_a_cell(plan: Planner) -> None:
    made = plan(folds=None, seeds=(0, 2))
    cells = [(task.cell.seed, task.cell.fold) for task in made.todo]
    assert cells == [(seed, fold) for seed in (0, 2) for fold in range(5)]


def test_embedded_cohorts_are_run_quick_and_others_standard(plan: Planner) -> None:
    assert plan().todo[0].preset == "quick"
    assert plan(preset="paper").todo[0].setting.config["columns"] == 9


@pytest.mark.parametrize(
    "change",
    [
        {"cohort": "demo-shared"},
        {"population": "all"},
        {"train_missing": "P@0.5"},
        {"preset": "paper"},
        {"changes": ("columns=4",)},
    ],
)
def test_what_decides_a_number_makes_another_setting(plan: Planner, change: dict[str, Any]) -> None:
    assert plan(**change).todo[0].cell.setting != plan().todo[0].cell.setting


@pytest.mark.parametrize("change", [{"threads": 2}, {"jobs": 1}, {"timeout": 1.0}, {"folds": (3,)}])
def test_how_it_is_run_makes_no_other_setting(plan: Planner, change: dict[str, Any]) -> None:
    assert plan(**change).settings == plan().settings


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"methods": ("plian",)}, "Did you mean 'plain'"),
        ({"methods": ()}, "no method given"),
        ({"methods": ("all", "plain")}, "'all' stands alone"),
        ({"missing": ("X",)}, "names 'X', but cohort 'demo' has P, G"),
        ({"missing": ("P@1.4",)}, "rate 1.4 is outside 0 to 1"),
        ({"missing": ("P@",)}, "cannot read 'P@'"),
        ({"train_missing": "Q"}, "names 'Q'"),
        ({"cohort": "dmeo"}, "Did you mean 'demo'"),
        ({"cohort": "no/such/folder"}, "no cohort folder"),
        ({"splits": "tcga_blca"}, "no case in common"),
        ({"splits": "nosuch"}, "unknown splits"),
        ({"folds": (0, 7)}, "have no fold 7; they have 0, 1, 2, 3, 4"),
        ({"folds": ()}, "names no fold"),
        ({"seeds": ()}, "whole numbers from 0"),
        ({"seeds": (-1,)}, "whole numbers from 0"),
        ({"population": "most"}, "use paired or all"),
        ({"preset": "slow"}, "unknown preset"),
        ({"changes": ("columns=x",)}, "plain.columns='x' is not a whole number"),
        ({"changes": ("column=1",)}, "Did you mean 'columns'"),
        ({"changes": ("columns=0",)}, "it must be at least 1"),
        ({"changes": ("cox.use=P",)}, "unknown method in --set"),
        ({"device": "gpu"}, "unknown device"),
        ({"jobs": 0}, "--jobs is 0"),
        ({"threads": 0}, "--threads is 0"),
        ({"timeout": 0.0}, "--timeout is 0.0"),
        ({"timeout": float("nan")}, "--timeout is nan"),
    ],
)
def test_wrong_input_is_told_before_anything_is_written(
    fakes: Path, results: Path, change: dict[str, Any], told: str
) -> None:
    defaults: dict[str, Any] = {"methods": ("plain",), "results": results}
    request = Request(**(defaults | change))
    with pytest.raises(InputError, match=told) as caught:
        make_plan(request)
    assert "\n" not in str(caught.value)
    assert not results.exists()


def test_cuda_is_refused_where_there_is_none(fakes: Path, results: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(InputError, match="no CUDA device"):
        make_plan(Request(("plain",), device="cuda", results=results))
    assert make_plan(Request(("plain",), results=results)).todo[0].device == "cpu"


def test_results_that_are_a_file_are_refused(fakes: Path, results: Path) -> None:
    results.write_text("")
    for place in (results, results / "below"):
        with pytest.raises(InputError, match=r"is a file|cannot be written"):
            make_plan(Request(("plain",), results=place))


def test_a_damaged_cell_is_told_before_the_run(plan: Planner) -> None:
    run_here(made := plan(folds=(0,)))
    (made.todo[0].cell.folder / "predictions/none.csv").write_text("")
    with pytest.raises(InputError, match=r"none\.csv is damaged"):
        plan(folds=(0,))


def test_jobs_never_exceed_the_cells(plan: Planner) -> None:
    assert plan(jobs=64).jobs == len(plan(jobs=64).tasks)
    assert plan(threads=10_000).jobs == 1


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cohort called `half`: every third patient of 60 lacks P, and there are no covariates."""
    whole = simulate("demo", n=60)
    lacks = [index % 3 == 0 for index in range(60)]
    cohort = whole.absent({"P": np.array(lacks)})
    info = replace(whole.info, truth=None, default_splits="unused")
    cases = whole.cases[["time", "event"]]
    cohort = replace(cohort, name="half", info=info, cases=cases)
    monkeypatch.setattr(ground_module, "load_cohort", lambda source: cohort)
    monkeypatch.setattr(ground_module, "read_splits", lambda source: make_folds(cases, name="half"))


@pytest.mark.usefixtures("half")
def test_paired_leaves_out_who_lacks_a_modality_in_training_and_test() -> None:
    ground = Source("half").ground
    assert len(ground.cohort) == 40
    assert len(ground.left_out) == 20
    assert all(ground.train(k).paired.all() and ground.test(k).paired.all() for k in ground.folds)


@pytest.mark.usefixtures("half")
def test_all_takes_everyone_and_is_a_dash_for_who_cannot(plan: Planner) -> None:
    run_here(made := plan("needs_p", population="all", cohort="half", folds=(0,)))
    n, lacking = 12, int((~made.ground.test(0).paired).sum())
    reason = f"{lacking} of {n} test patients lack P, which needs_p needs"
    cell = made.todo[0].cell
    assert cell.refusals == {"none": reason}
    assert cell.record["train"]["n"] == 48
    assert cell.record["left_out"]["test"] == 0


@pytest.mark.usefixtures("half")
def test_what_a_population_leaves_out_is_told_and_recorded(plan: Planner) -> None:
    made = plan("plain", "G@0.5", cohort="half", folds=(0,))
    assert made.notes[0].startswith("population paired: 20 patients of cohort 'half'")
    assert made.notes[1].startswith("regime G@0.5: 0.0% lack P")
    run_here(made)
    left_out = made.todo[0].cell.record["left_out"]
    assert left_out["train"] + left_out["test"] == 20


@pytest.mark.usefixtures("half")
def test_a_named_method_without_its_covariates_is_wrong_input(results: Path) -> None:
    with pytest.raises(InputError, match="clinical needs one of the covariates age, h"):
        make_plan(Request(("clinical",), cohort="half", results=results))
    assert not results.exists()


def test_a_named_method_without_its_modality_is_wrong_input(results: Path) -> None:
    with pytest.raises(InputError, match="cox needs modality 'Q'"):
        make_plan(Request(("cox",), changes=("use=Q",), results=results))
