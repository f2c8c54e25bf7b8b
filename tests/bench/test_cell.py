"""Cells on disk: whole or absent, exact, verified."""

import csv
import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from survbench.bench import cell as cell_module
from survbench.bench import disk
from survbench.bench.cell import Cell, find_cells
from survbench.bench.disk import DiskError
from survbench.bench.plan import Plan
from survbench.bench.run import method_of
from survbench.errors import ResultError
from tests.bench.conftest import run_here

Planner = Callable[..., Plan]


@pytest.fixture
def cell(plan: Planner) -> Cell:
    """Finished cell: fold 0, regimes none and G@0.4."""
    run_here(made := plan("plain", "G@0.4", folds=(0,)))
    return made.todo[0].cell


def test_a_cell_holds_the_documented_files(cell: Cell, results: Path) -> None:
    assert cell.folder == results / "demo/plain" / cell.setting / "seed0-fold0"
    assert sorted(path.name for path in cell.folder.iterdir()) == [
        "SHA256SUMS",
        "cell.json",
        "fit.json",
        "predictions",
        "train.csv",
        "weights.safetensors",
    ]
    assert cell.regimes == ["G@0.4", "none"]
    assert list((results / disk.WORK).iterdir()) == []


def test_the_sums_are_those_of_the_files(cell: Cell) -> None:
    for line in (cell.folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((cell.folder / name).read_bytes()).hexdigest() == digest


def test_numbers_read_back_bit_equal(plan: Planner) -> None:
    run_here(made := plan("plain", "G@0.4", folds=(0,)))
    task = made.todo[0]
    test = made.ground.test(0)
    fitted = method_of(task).fit(made.ground.train(0))
    for regime in made.regimes:
        wanted, read = fitted.predict(test, missing=regime), task.cell.prediction(regime)
        assert read.case_id.tolist() == wanted.case_id.tolist()
        assert read.risk.tobytes() == wanted.risk.astype(np.float64).tobytes()
        assert wanted.survival is not None
        with (task.cell.folder / f"predictions/{regime}.csv").open() as file:
            rows = list(csv.DictReader(file))
        texts = [[float(row[f"survival_{k}"]) for k in (1, 2)] for row in rows]
        assert np.array(texts).tobytes() == wanted.survival.astype(np.float64).tobytes()
        odd = wanted.diagnostics["odd"]
        assert np.array_equal(read.diagnostics["odd"], odd.astype(np.float64), equal_nan=True)


def test_a_prediction_file_tells_who_was_masked(cell: Cell) -> None:
    has = cell.prediction("G@0.4").has
    assert has["P"].all()
    assert 0 < has["G"].sum() < len(has["G"])
    assert cell.filled("G@0.4")
    assert not cell.filled("none")


def test_the_record_says_what_was_run_and_no_secret(cell: Cell, tmp_path: Path) -> None:
    record = cell.record
    assert record["schema"] == 1
    assert record["setting"]["config"]["columns"] == 2
    assert (record["preset"], record["presets"]) == ("quick", ["quick"])
    assert record["edges"] == [0.0, 12.0]
    assert record["train"]["n"] + record["test"]["n"] == 200
    assert record["fit"]["updates"] == 1
    assert 0 <= record["train_c_index"] <= 1
    assert record["seconds"] >= 0
    text = json.dumps(record)
    assert str(Path.cwd()) not in text
    assert str(tmp_path) not in text


def test_train_csv_is_the_training_fold(cell: Cell) -> None:
    folded = cell.scorable("none")
    assert folded.train_time is not None
    assert len(folded.train_time) == cell.record["train"]["n"]
    train = (cell.folder / "train.csv").read_text().splitlines()
    assert train[0] == "case_id,time,event"
    assert not set(folded.case_id) & {line.split(",")[0] for line in train[1:]}


@pytest.mark.parametrize("name", ["cell.json", "train.csv", "weights.safetensors", "fit.json"])
def test_a_damaged_file_of_the_fit_is_named_with_its_remedy(cell: Cell, name: str) -> None:
    with (cell.folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ResultError, match=rf"{name} is damaged.*delete the folder .*seed0-fold0"):
        Cell(**_parts(cell)).verify()


def test_a_lost_file_of_the_fit_is_named(cell: Cell) -> None:
    (cell.folder / "train.csv").unlink()
    with pytest.raises(ResultError, match=r"train.csv is gone; delete the folder"):
        cell.verify()


def test_a_damaged_prediction_is_named_with_its_remedy(cell: Cell) -> None:
    path = cell.folder / "predictions" / "G@0.4.csv"
    path.write_text(path.read_text().replace(",1,", ",0,", 1))
    for read in (cell.verify, lambda: cell.prediction("G@0.4")):
        with pytest.raises(ResultError, match=r"G@0\.4\.csv is damaged.*delete the file"):
            read()


@pytest.mark.parametrize(
    ("place", "text"),
    [("failed.json", "[1]"), ("failed.json", ""), ("failed.json", "{}"), ("G.failed.json", "nul")],
)
def test_a_damaged_note_is_named_with_its_remedy(
    plan: Planner, cell: Cell, place: str, text: str
) -> None:
    folder = cell.folder if place == "failed.json" else cell.folder / "predictions"
    if place == "failed.json":
        shutil.rmtree(cell.folder)
        cell.folder.mkdir()
    (folder / place).write_text(text)
    with pytest.raises(ResultError, match=rf"{place} is damaged.*delete it and run the same"):
        plan("plain", "G@0.4", folds=(0,))


def test_a_failure_kept_of_what_is_there_does_not_count(plan: Planner, cell: Cell) -> None:
    for stage in ("fit", "none", "P"):  # as when a worker dies before it has said that it is done
        cell.fail(stage, {"error": "ChildProcessError", "traceback": []})
    assert list(cell.failures) == ["P"]
    assert plan("plain", "G@0.4", folds=(0,)).failures() == []
    cell.verify()


def test_a_fit_without_its_sums_is_no_missing_fit(plan: Planner, cell: Cell, results: Path) -> None:
    (cell.folder / "SHA256SUMS").unlink()
    for look in (lambda: plan("plain", folds=(0,)), lambda: find_cells(results)):
        with pytest.raises(ResultError, match=r"SHA256SUMS is gone; delete the folder"):
            look()


def test_what_is_in_the_way_of_a_cell_is_told(plan: Planner, results: Path) -> None:
    made = plan(folds=(0,))
    folder = made.todo[0].cell.folder
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("")
    with pytest.raises(ResultError, match=r"seed0-fold0 holds files that are no cell; delete it"):
        run_here(made)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 99}, r"schema 99.*upgrade survbench"),
        ({"fold": "first"}, r"cell.json was not written by a run: fold is 'first'.*delete the fol"),
        ({"test": {"n": 7}}, r"cell.json was not written by a run: test is .*delete the folder"),
    ],
)
def test_a_record_of_another_survbench_or_by_hand_is_refused(
    cell: Cell, change: dict[str, object], told: str
) -> None:
    path = cell.folder / "cell.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    sums = cell.folder / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if "cell.json" not in line]
    lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  cell.json")
    sums.write_text("\n".join(lines))
    with pytest.raises(ResultError, match=told):
        _ = Cell(**_parts(cell)).record


def test_cells_are_found_by_cohort(cell: Cell, results: Path) -> None:
    assert [str(found) for found in find_cells(results)] == ["plain seed 0 fold 0"]
    assert find_cells(results, "other") == []
    with pytest.raises(ResultError, match="does not exist"):
        find_cells(results / "nowhere")


@pytest.mark.parametrize("broken", ["write_table", "flush", "adopt", "sums_line"])
def test_a_full_disk_leaves_nothing_half_written(
    plan: Planner, results: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cell_module, broken, full)
    made = plan(folds=(0,))
    with pytest.raises(DiskError, match="no space left; nothing half-written") as caught:
        run_here(made)
    assert "\n" not in str(caught.value)
    assert [path for path in results.rglob("*") if path.is_file()] == []
    monkeypatch.undo()


def test_whoever_comes_second_discards_the_identical_fit(plan: Planner, tmp_path: Path) -> None:
    made = plan(folds=(0,))
    run_here(made)
    cell = made.todo[0].cell
    before = _contents(cell.folder)
    cell.write_fit({"refused": None}, made.ground.train(0), lambda folder: None)
    assert _contents(cell.folder) == before


def _parts(cell: Cell) -> dict[str, Any]:
    names = ("results", "cohort", "method", "setting", "seed", "fold")
    return {name: getattr(cell, name) for name in names}


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
