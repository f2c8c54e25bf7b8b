"""Committed negative controls: a line per permutation, kept, read back and looked through."""

import math
from pathlib import Path

import pytest

from survbench.bench.cell import find_cells
from survbench.cli import main
from survbench.errors import ResultError, UnknownNameError
from survbench.report.control import control_rows, permutations
from survbench.report.submissions.pack import pack
from survbench.report.submissions.permutations import (
    committed_permutations,
    doubtful,
    keep_permutations,
)
from tests.report.results import write_method

FILE = "control/toy.csv"


def test_what_was_run_is_read_back_number_by_number(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "cox", seeds=range(3), regimes=("none", "P"), control="permute")
    assert pack(tmp_path / "run", tmp_path).permutations == {"toy": 6}
    found = permutations(find_cells(tmp_path / "run"))
    assert committed_permutations("toy", tmp_path) == found
    assert [(one.regime, one.seed) for one in found] == [
        *(("none", seed) for seed in range(3)),
        *(("P", seed) for seed in range(3)),
    ]
    assert list(doubtful(tmp_path)) == []


def test_controls_are_no_submissions_and_results_are_no_controls(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "cox", control="permute", setting="aaaaaaaaaaaa")
    write_method(tmp_path / "run", "snn", folds=(0,))
    packed = pack(tmp_path / "run", tmp_path)
    assert [one.submission.method for one in packed.submissions] == ["snn"]
    assert {one.method for one in committed_permutations("toy", tmp_path)} == {"cox"}


def test_later_permutations_join_the_earlier_ones_and_replace_their_own(tmp_path: Path) -> None:
    write_method(tmp_path / "one", "cox", seeds=(0, 1), control="permute")
    write_method(tmp_path / "two", "cox", seeds=(1, 2), control="permute", stream=5)
    pack(tmp_path / "one", tmp_path)
    assert pack(tmp_path / "two", tmp_path).permutations == {"toy": 3}
    (first,) = permutations(find_cells(tmp_path / "one"))[:1]
    later = permutations(find_cells(tmp_path / "two"))
    assert committed_permutations("toy", tmp_path) == [first, *later]


def test_the_command_packs_and_shows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_method(tmp_path / "run", "cox", seeds=(0, 1), control="permute")
    assert main(["submit", str(tmp_path / "run"), "--to", str(tmp_path)]) == 0
    assert "control/toy.csv: 2 permutations" in capsys.readouterr().out
    where = "survbench.report.submissions.permutations.committed"
    monkeypatch.setattr(where, lambda: tmp_path)
    assert main(["leaderboard", "--control"]) == 0
    row = control_rows(committed_permutations("toy", tmp_path))[0]
    assert f"{row.c_index:.3f}" in capsys.readouterr().out


def test_p_values_that_are_none_come_back_as_none(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "cox", control="permute")
    (one,) = permutations(find_cells(tmp_path / "run"))
    keep_permutations(tmp_path, [type(one)(**{**vars(one), "logrank_p": math.nan})])
    (back,) = committed_permutations("toy", tmp_path)
    assert math.isnan(back.logrank_p)
    assert back.c_index == one.c_index
    assert list(doubtful(tmp_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("none,0,", "none,1,", "stands twice"),
        ("toy,cox", "boy,cox", "row 2, column 'cohort': 'boy' is another cohort"),
        (",3,0.", ",3,1.", "row 2, column 'c_index'"),
        (",3,0.", ",3,x.", "row 2, column 'c_index'"),
        ("regime,", "", "no column 'regime'"),
    ],
)
def test_a_line_no_run_can_have_written_is_named(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    write_method(tmp_path / "run", "cox", seeds=(0, 1), control="permute")
    pack(tmp_path / "run", tmp_path)
    file = tmp_path / FILE
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    (line, *_) = doubtful(tmp_path)
    assert "toy.csv" in line
    assert told in line


def test_an_unknown_cohort_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'toy'"):
        committed_permutations("toy", tmp_path)


def test_names_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "cox", control="permute")
    (one,) = permutations(find_cells(tmp_path / "run"))
    with pytest.raises(ResultError, match="cannot name a submission"):
        keep_permutations(tmp_path, [type(one)(**{**vars(one), "cohort": "../toy"})])
