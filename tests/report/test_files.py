from pathlib import Path

import pytest

from survbench.errors import InputError, ResultError
from survbench.report import render_files, score_files
from survbench.score import score_fold
from tests.report.results import write_method
from tests.score.simulated import fold


def test_a_file_in_its_cell_has_every_score(tmp_path: Path) -> None:
    cells = write_method(tmp_path, "abmil")
    files = [cell.folder / "predictions" / "none.csv" for cell in cells]
    scored = score_files(files)
    for number, one in enumerate(scored):
        assert one.scores == score_fold(fold(number), 12.0)
    assert "mean of the files" in render_files(scored)


def test_a_file_alone_has_its_c_index_and_says_what_it_lacks(tmp_path: Path) -> None:
    cell = write_method(tmp_path / "results", "abmil", folds=(0,))[0]
    alone = tmp_path / "alone.csv"
    alone.write_bytes((cell.folder / "predictions" / "none.csv").read_bytes())
    (one,) = score_files([alone])
    assert one.scores.c_index == score_fold(fold(0), 12.0).c_index
    text = render_files([one])
    assert "no Uno C: the cohort states no horizon" in text
    assert "no IBS: the times of the survival curve are not known" in text


def test_no_file_or_no_such_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file given"):
        score_files([])
    with pytest.raises(ResultError, match=r"gone\.csv"):
        score_files([tmp_path / "gone.csv"])
