"""One cell: fitted once, predicted from its weights, refused or failed with a reason."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from survbench.bench.cell import Cell
from survbench.bench.plan import Plan, Request, make_plan
from survbench.bench.run import Outcome, run_task
from survbench.cohort.truth import attainable_risk, oracle_risk
from survbench.errors import InputError, ResultError
from tests.bench.conftest import run_here
from tests.bench.fakes import FAULT

Planner = Callable[..., Plan]
Fits = Callable[[], list[str]]


def test_several_regimes_come_from_one_fit(plan: Planner, fits: Fits) -> None:
    outcomes = run_here(plan("plain", "P", "G@0.4"))
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
    assert fits() == ["plain 0 0", "plain 0 1"]
    assert outcomes[0].cell.regimes == ["G@0.4", "P", "none"]


def test_a_regime_asked_for_later_is_predicted_from_the_weights(plan: Planner, fits: Fits) -> None:
    run_here(first := plan("plain", folds=(0,)))
    folder = first.todo[0].cell.folder
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    run_here(plan("plain", "G@0.4", folds=(0,)))
    assert fits() == ["plain 0 0"]
    assert {path: path.read_bytes() for path in before} == before
    later = (folder / "predictions/G@0.4.csv").read_bytes()
    shutil.rmtree(folder)
    run_here(plan("plain", "G@0.4", folds=(0,)))
    assert (folder / "predictions/G@0.4.csv").read_bytes() == later


def test_a_finished_cell_is_left_alone(plan: Planner, fits: Fits) -> None:
    run_here(plan())
    assert plan().todo == []
    assert len(plan().tasks) > 2
    assert len(fits()) == 2


def test_a_method_that_cannot_be_saved_is_fitted_again_for_a_later_regime(
    plan: Planner, fits: Fits
) -> None:
    run_here(first := plan("unsaved", "P", folds=(0,)))
    assert not (first.todo[0].cell.folder / "weights.safetensors").exists()
    assert len(fits()) == 1
    run_here(plan("unsaved", "G@0.4", folds=(0,)))
    assert len(fits()) == 2
    assert first.todo[0].cell.regimes == ["G@0.4", "P", "none"]


def test_a_fit_that_cannot_be_had_again_is_kept_as_failed(
    plan: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_here(plan("unsaved", folds=(0,)))
    monkeypatch.setenv(FAULT, "unsaved/0=raise")
    assert run_here(made := plan("unsaved", "P", folds=(0,)))[0].status == "failed"
    assert made.failures() == [
        "unsaved seed 0 fold 0 P: ValueError: broken on purpose in .../fakes.py"
    ]


def test_a_regime_the_method_cannot_predict_is_kept_as_a_refusal(plan: Planner) -> None:
    outcome = run_here(made := plan("needs_p", "P", "G", folds=(0,)))[0]
    assert outcome.status == "refused"
    cell, n = outcome.cell, len(made.ground.test(0))
    assert cell.regimes == ["none"]
    assert cell.refusals["P"] == f"{n} of {n} test patients lack P, which needs_p needs"
    assert plan("needs_p", "P", "G", folds=(0,)).todo == []


def test_a_cohort_a_method_cannot_be_fitted_on_is_wrong_input_for_one_method(
    plan: Planner, results: Path
) -> None:
    with pytest.raises(InputError, match="picky does not like cohort 'demo'"):
        run_here(plan("picky"))
    assert [path for path in results.rglob("*") if path.is_file()] == []


def test_a_cohort_a_method_cannot_be_fitted_on_is_a_dash_among_several(
    fakes: Path, results: Path, fits: Fits
) -> None:
    request = Request(("picky", "plain"), ("P",), folds=(0,), results=results)
    made = make_plan(request)
    outcomes = {outcome.cell.method: outcome for outcome in run_here(made)}
    assert outcomes["plain"].status == "done"
    assert outcomes["picky"].status == "refused"
    reason = "picky does not like cohort 'demo'"
    assert outcomes["picky"].cell.refusals == {"none": reason, "P": reason}
    assert make_plan(request).todo == []


def test_a_failed_fit_is_kept_without_paths_and_tried_again_only_on_demand(
    plan: Planner, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "plain/0=raise")
    outcomes = run_here(made := plan())
    assert [outcome.status for outcome in outcomes] == ["failed", "done"]
    cell = made.todo[0].cell
    assert [path.name for path in cell.folder.iterdir()] == ["failed.json"]
    kept = (cell.folder / "failed.json").read_text()
    assert "ValueError: broken on purpose in .../fakes.py" in kept
    assert '"tests/bench/fakes.py:' in kept
    assert str(Path.cwd()) not in kept
    assert made.failures() == [f"{cell} fit: ValueError: broken on purpose in .../fakes.py"]

    monkeypatch.delenv(FAULT)
    assert plan().todo == []
    run_here(plan(retry_failed=True))
    assert cell.regimes == ["none"]
    assert made.failures() == []
    assert fits() == ["plain 0 0", "plain 0 1", "plain 0 0"]


def test_a_failed_prediction_leaves_the_fit_and_the_other_regimes(
    plan: Planner, fits: Fits
) -> None:
    outcome = run_here(made := plan("fragile", "G", "P", folds=(0,)))[0]
    assert outcome.status == "failed"
    assert outcome.cell.regimes == ["P", "none"]
    assert outcome.cell.failures == {
        "G": "ArithmeticError: cannot tell them apart, see .../fakes.py"
    }
    assert plan("fragile", "G", folds=(0,)).todo == []
    run_here(plan("fragile", "G", folds=(0,), retry_failed=True))
    assert len(made.failures()) == 1
    assert len(fits()) == 1


def test_a_cell_that_another_run_holds_is_busy(plan: Planner) -> None:
    made = plan(folds=(0,))
    cell = made.todo[0].cell
    lock = cell.lock
    assert lock.take()
    assert run_here(made) == [Outcome(cell, "busy")]
    lock.free()
    assert run_here(made) == [Outcome(cell, "done")]


def test_the_same_command_gives_the_same_bytes(plan: Planner, tmp_path: Path) -> None:
    folders = []
    for name in ("one", "two"):
        run_here(made := plan("plain", "G@0.4", folds=(1,), results=tmp_path / name))
        folders.append(made.todo[0].cell.folder)
    for name in ("predictions/none.csv", "predictions/G@0.4.csv", "train.csv", "fit.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_neural_method_gives_the_same_bytes_from_its_fit_and_from_its_weights(
    results: Path, tmp_path: Path
) -> None:
    def make(folder: Path, *missing: str) -> Cell:
        request = Request(
            ("abmil",), missing, folds=(0,), results=folder, changes=("epochs=1",), device="cpu"
        )
        made = make_plan(request)
        task = next(task for task in made.tasks if task.setting.method == "abmil")
        assert run_task(task, made.ground).status == "done"
        return task.cell

    at_once = make(results, "G")
    make(tmp_path / "later")
    later = make(tmp_path / "later", "G")
    for regime in ("none", "G"):
        name = f"predictions/{regime}.csv"
        assert (at_once.folder / name).read_bytes() == (later.folder / name).read_bytes()


def test_the_truth_of_a_simulated_cohort_is_two_ordinary_rows(fakes: Path, results: Path) -> None:
    made = make_plan(Request(("plain",), ("P",), folds=(0, 3), seeds=(0, 1), results=results))
    truth = [task for task in made.todo if task.setting.method != "plain"]
    assert [(t.setting.method, t.cell.seed, t.cell.fold) for t in truth] == [
        ("oracle", 0, 0),
        ("oracle", 0, 3),
        ("attainable", 0, 0),
        ("attainable", 0, 3),
    ]
    for task in truth:
        assert run_task(task, made.ground).status == "done"
    train, test = made.ground.train(3), made.ground.test(3)
    everything = {
        "oracle": oracle_risk(test),
        "attainable": attainable_risk(train, test),
    }
    for task in (truth[1], truth[3]):
        read = task.cell.prediction("none")
        assert np.array_equal(read.risk, everything[task.setting.method])
        assert not task.cell.prediction("P").has["P"].any()


def test_nobody_is_tested_who_was_trained_on(plan: Planner) -> None:
    ground = plan().ground
    for fold in ground.folds:
        train, test = set(ground.train(fold).case_id), set(ground.test(fold).case_id)
        assert not train & test
        assert len(train | test) == len(ground.cohort)


def test_another_fill_is_another_setting_that_really_fills_otherwise(plan: Planner) -> None:
    run_here(own := plan("plain", "G@0.4", folds=(0,)))
    run_here(other := plan("plain", "G@0.4", folds=(0,), fill="mean"))
    cells = [made.tasks[-1].cell for made in (own, other)]
    assert cells[0].setting != cells[1].setting
    assert [cell.record["contract"]["fill"] for cell in cells] == ["zero", "mean"]
    assert cells[1].record["changed"]["fill"] == "mean"
    zero, mean = (cell.prediction("G@0.4") for cell in cells)
    lacks = ~zero.has["G"]
    assert np.array_equal(zero.risk[~lacks], mean.risk[~lacks])
    assert (zero.risk[lacks] == 0).all()
    assert (mean.risk[lacks] != 0).all()  # clipped z-scores do not average to 0 exactly


def test_another_fill_needs_no_other_fit_where_nothing_was_missing(
    plan: Planner, fits: Fits, tmp_path: Path
) -> None:
    run_here(own := plan("plain", "G@0.4", folds=(0,)))
    run_here(other := plan("plain", "G@0.4", folds=(0,), fill="mean"))
    assert fits() == ["plain 0 0"]
    base, cell = (made.tasks[-1].cell for made in (own, other))
    assert cell.record["fit_from"] == base.setting
    assert cell.record["setting_id"] == cell.setting
    run_here(alone := plan("plain", "G@0.4", folds=(0,), fill="mean", results=tmp_path / "alone"))
    assert len(fits()) == 2
    fresh = alone.tasks[-1].cell
    assert "fit_from" not in fresh.record
    for name in ("fit.json", "weights.safetensors", "predictions/G@0.4.csv", "train.csv"):
        assert (cell.folder / name).read_bytes() == (fresh.folder / name).read_bytes()
    own_words = {"setting", "setting_id", "changed", "contract", "fit_from"}
    kept = [key for key in base.record if key not in own_words]
    assert {key: cell.record[key] for key in kept} == {key: base.record[key] for key in kept}


def test_a_fit_that_filled_something_in_is_not_used_for_another_fill(
    plan: Planner, fits: Fits
) -> None:
    for fill in ("", "mean"):
        run_here(plan("plain", "G@0.4", folds=(0,), train_missing="G@0.4", fill=fill))
    assert len(fits()) == 2


def test_a_damaged_fit_is_not_used_for_another_fill(plan: Planner) -> None:
    run_here(own := plan("plain", "G@0.4", folds=(0,)))
    weights = own.tasks[-1].cell.folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ResultError, match=r"weights\.safetensors"):
        run_here(plan("plain", "G@0.4", folds=(0,), fill="mean"))


def test_the_fill_a_method_declares_is_no_change(plan: Planner) -> None:
    assert plan("plain").settings == plan("plain", fill="zero").settings


def test_an_unknown_fill_is_refused(plan: Planner) -> None:
    with pytest.raises(InputError, match="zero:N"):
        plan("plain", fill="nought")
