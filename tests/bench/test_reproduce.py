"""A recorded cell made again: equal, different, and refused with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from survbench.bench.disk import sha256_of
from survbench.bench.plan import Plan
from survbench.bench.reproduce import first_difference, reproduce
from survbench.cli import main
from survbench.errors import ResultError
from survbench.score.predictions import PredictionTable
from tests.bench.conftest import run_here
from tests.bench.fakes import FAULT, Plain

MakePlan = Callable[..., Plan]


@pytest.fixture
def cell(plan: MakePlan) -> Path:
    """Folder of a cell of `plain` on fold 1, with predictions for none, G and P."""
    made = plan("plain", "G", "P", folds=(1,))
    run_here(made)
    return made.todo[0].cell.folder


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make cells again in this process, which is quicker."""
    monkeypatch.setattr("survbench.bench.reproduce.execute", lambda plan, watcher: run_here(plan))


def rewritten(folder: Path, **changes: Any) -> None:
    """Change cell.json as if it had been written so."""
    record = json.loads((folder / "cell.json").read_text())
    (folder / "cell.json").write_text(json.dumps(record | changes))
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    kept = [line for line in sums if not line.endswith("  cell.json")]
    line = f"{sha256_of(folder / 'cell.json')}  cell.json"
    (folder / "SHA256SUMS").write_text("\n".join([*kept, line]) + "\n")


def nudged(folder: Path, regime: str, by: float) -> str:
    """Add to the risk of the second patient of a prediction file; returns the patient."""
    file = folder / f"predictions/{regime}.csv"
    lines = file.read_text().splitlines()
    case, time, event, risk, *rest = lines[2].split(",")
    lines[2] = ",".join([case, time, event, repr(float(risk) + by), *rest])
    file.write_text("\n".join(lines) + "\n")
    file.with_suffix(".sha256").write_text(f"{sha256_of(file)}  {file.name}\n")
    return case


def test_an_untouched_cell_is_made_again_bit_by_bit_in_a_process_of_its_own(
    cell: Path, capsys: pytest.CaptureFixture[str], fits: Callable[[], list[str]]
) -> None:
    assert main(["reproduce", str(cell)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "the versions and hardware of the record: compared bit by bit"
    assert lines[2:] == [
        "G: 40 patients equal",
        "P: 40 patients equal",
        "none: 40 patients equal",
        "reproduced",
    ]
    assert fits() == ["plain 0 1"] * 2


@pytest.mark.usefixtures("_here")
def test_one_changed_bit_is_named_with_case_and_column(
    cell: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = nudged(cell, "none", 1e-9)
    assert main(["reproduce", str(cell)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "NOT reproduced"
    assert lines[-2].startswith(f"none: case '{case}', column 'risk': ")
    assert lines[-2].endswith("now; 1 of 40 patients differ")
    assert lines[2] == "G: 40 patients equal"


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(("by", "equal"), [(5e-4, True), (1e-2, False)])
def test_with_other_versions_a_tolerance_holds_and_what_changed_is_told(
    cell: Path, by: float, equal: bool
) -> None:
    versions = json.loads((cell / "cell.json").read_text())["versions"]
    rewritten(cell, versions=versions | {"torch": "1.0"})
    nudged(cell, "none", by)
    made = reproduce(cell)
    assert made.tolerance == 1e-3
    assert made.changed == (f"torch: 1.0 then, {versions['torch']} now",)
    assert made.equal is equal


@pytest.mark.usefixtures("_here")
def test_another_version_of_the_package_of_the_method_is_told(cell: Path) -> None:
    versions = json.loads((cell / "cell.json").read_text())["versions"]
    assert versions["fakes"] == "1.0"
    rewritten(cell, versions=versions | {"fakes": "0.9"})
    assert reproduce(cell).changed == ("fakes: 0.9 then, 1.0 now",)


@pytest.mark.usefixtures("_here")
def test_another_machine_is_told(cell: Path) -> None:
    rewritten(cell, hardware={"cpu": "an abacus", "system": "Linux"})
    assert reproduce(cell).changed[0].startswith("cpu: an abacus then, ")


@pytest.mark.usefixtures("_here")
def test_what_fails_now_is_a_difference(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULT, "plain/1=raise")
    made = reproduce(cell)
    assert not made.equal
    assert made.differences["none"].startswith("failed now: ValueError: broken on purpose")


@pytest.mark.usefixtures("_here")
def test_a_refusal_must_be_refused_again(plan: MakePlan) -> None:
    made = plan("needs_p", "P", folds=(0,))
    run_here(made)
    again = reproduce(made.todo[0].cell.folder)
    assert again.equal
    assert set(again.differences) == {"none", "P"}
    assert set(again.patients) == {"none"}


@pytest.mark.usefixtures("_here")
def test_the_truth_of_a_simulated_cohort_can_be_reproduced(plan: MakePlan) -> None:
    made = plan("plain", folds=(0,))
    truth = next(task for task in made.tasks if task.setting.method == "oracle")
    run_here(replace(made, todo=[truth]))
    assert reproduce(truth.cell.folder).equal


def test_another_version_of_the_method_is_refused(
    cell: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plain, "version", 2)
    expected = "made by plain version 1, installed is version 2; install what it was made with"
    with pytest.raises(ResultError, match=expected):
        reproduce(cell)


def test_another_cohort_is_refused_with_both_hashes(cell: Path) -> None:
    with pytest.raises(ResultError, match=r"'demo-null' has hash \w{12}, the cell was made on"):
        reproduce(cell, cohort="demo-null")


def test_other_splits_are_refused_with_both_hashes(cell: Path, tmp_path: Path) -> None:
    main(["splits", "make", "--cohort", "demo", "--seed", "7", "--out", str(tmp_path / "own.csv")])
    with pytest.raises(ResultError, match=r"splits 'own' have hash .* \('demo'\); give those"):
        reproduce(cell, splits=str(tmp_path / "own.csv"))


def test_a_cohort_that_does_not_come_along_must_be_given(cell: Path) -> None:
    rewritten(cell, cohort="tcga_luad")
    with pytest.raises(ResultError, match="give its folder with --cohort FOLDER"):
        reproduce(cell)


def test_a_setting_changed_by_hand_is_refused(cell: Path) -> None:
    setting = json.loads((cell / "cell.json").read_text())["setting"]
    rewritten(cell, setting=setting | {"population": "all"})
    with pytest.raises(ResultError, match="the record was changed by hand"):
        reproduce(cell)


def test_a_damaged_cell_is_refused(cell: Path) -> None:
    (cell / "cell.json").write_text("{}")
    with pytest.raises(ResultError, match=r"cell\.json is damaged"):
        reproduce(cell)


@pytest.mark.parametrize("name", ["", "nowhere", "predictions"])
def test_what_is_no_cell_is_refused(cell: Path, name: str) -> None:
    folder = cell / name if name else cell.parent
    with pytest.raises(ResultError, match="is no finished cell; name a folder RESULTS/COHORT"):
        reproduce(folder)


def table(risk: list[float], **columns: list[float]) -> PredictionTable:
    names = np.array(["A", "B"])
    diagnostics = {name: np.array(column) for name, column in columns.items()}
    one = np.ones(2)
    return PredictionTable(names, one, one > 0, np.array(risk), diagnostics=diagnostics)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (table([1, 2]), table([1, 2]), ""),
        (table([1, 2], odd=[np.nan, 1]), table([1, 2], odd=[np.nan, 1]), ""),
        (table([1, 2], odd=[np.nan, 1]), table([1, 2], odd=[0, 1]), "case 'A', column 'odd': "),
        (table([1, 2], odd=[0, 1]), table([1, 2]), "column 'odd' is there only then"),
        (table([1, 20]), table([1, 20.1]), ""),  # 0.01 of 20
        (table([1, 20]), table([1, 20.3]), "case 'B', column 'risk': "),
    ],
)
def test_the_first_difference_is_told(
    then: PredictionTable, now: PredictionTable, expected: str
) -> None:
    found = first_difference(then, now, 0.01)
    assert found.startswith(expected)
    assert bool(found) is bool(expected)
