"""The negative control: permutations averaged, tested against 0.5, kept apart from results."""

import math
from pathlib import Path

import numpy as np
import pytest

from survbench.bench.cell import find_cells
from survbench.report import leaderboard
from survbench.report.control import ControlRow, control_rows, permutations, render_control
from survbench.score import summarise
from tests.report.results import write_method


def rows_of(results: Path) -> list[ControlRow]:
    return control_rows(permutations(find_cells(results)))


def test_a_row_is_the_mean_over_permutations_with_its_standard_error(tmp_path: Path) -> None:
    cells = write_method(tmp_path, "cox", seeds=range(4), control="permute")
    (row,) = rows_of(tmp_path)
    by_seed = [
        summarise([cell.scorable("none") for cell in cells if cell.seed == seed], None)
        for seed in range(4)
    ]
    value = np.array([one.c_index.value for one in by_seed])
    assert row.permutations == 4
    assert row.c_index == pytest.approx(value.mean(), abs=1e-12)
    assert row.error == pytest.approx(value.std(ddof=1) / 2, abs=1e-12)
    assert row.z == pytest.approx((value.mean() - 0.5) / (value.std(ddof=1) / 2))
    assert row.pooled == np.mean([one.logrank_p.value < 0.05 for one in by_seed])


def test_a_permutation_that_lacks_a_fold_does_not_count(tmp_path: Path) -> None:
    write_method(tmp_path, "cox", seeds=(0, 1), control="permute")
    write_method(tmp_path, "cox", seeds=(2,), folds=(0, 1), control="permute")
    assert rows_of(tmp_path)[0].permutations == 2


def test_a_control_is_no_row_of_a_leaderboard_and_results_are_no_control(tmp_path: Path) -> None:
    write_method(tmp_path, "cox", control="permute")
    write_method(tmp_path, "switch")
    assert [row.method for row in leaderboard(tmp_path)] == ["switch"]
    assert [row.method for row in rows_of(tmp_path)] == ["cox"]


def test_the_table_says_that_it_holds_no_results() -> None:
    row = ControlRow("toy", "cox", "0", "none", 20, 0.512, 0.004, 0.1, 0.05)
    assert row.z == pytest.approx(3.0)
    text = render_control([row])
    assert "+3.0" in text
    assert "no results of the methods" in text
    assert "survbench run --control permute" in render_control([])


def test_one_permutation_has_no_standard_error() -> None:
    row = ControlRow("toy", "cox", "0", "none", 1, 0.6, math.nan, 0.0, 0.0)
    assert " - " in render_control([row])


def test_exactly_one_half_is_no_distance() -> None:
    assert ControlRow("toy", "cox", "0", "none", 9, 0.5, 0.0, 0.0, 0.0).z == 0
