"""A site written by the command, from a results folder as a run left it."""

from pathlib import Path

import pytest

from survbench.cli import main
from tests.report.results import write_method


def test_the_command_writes_rows_and_their_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_method(tmp_path / "results", "cox", regimes=("none", "G"))
    words = ["leaderboard", "--results", str(tmp_path / "results"), "--site", str(tmp_path / "s")]
    assert main(words) == 0
    assert "index.html" in capsys.readouterr().out
    page = (tmp_path / "s/index.html").read_text(encoding="utf-8")
    assert "cox" in page
    figures = {path.name for path in (tmp_path / "s/figures").rglob("*.svg")}
    assert {"km.svg", "calibration.svg", "degradation.svg"} <= figures


def test_a_negative_control_is_no_row_of_a_board(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_method(tmp_path / "results", "cox", control="permute", seeds=(0, 1))
    words = ["leaderboard", "--results", str(tmp_path / "results"), "--site", str(tmp_path / "s")]
    assert main(words) == 2
    assert "no row to show" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_negative_control_stands_below_the_boards_and_says_what_it_is(tmp_path: Path) -> None:
    write_method(tmp_path / "results", "snn", setting="aaaaaaaaaaaa")
    words = ["leaderboard", "--results", str(tmp_path / "results"), "--site", str(tmp_path / "s")]
    assert main(words) == 0
    assert "Negative control" not in (tmp_path / "s/index.html").read_text(encoding="utf-8")
    write_method(tmp_path / "results", "cox", control="permute", seeds=(0, 1))
    assert main(words) == 0
    boards, control = (
        (tmp_path / "s/index.html").read_text(encoding="utf-8").split('id="negative-control"')
    )
    assert "cox" not in boards.partition("<main")[2]
    assert "cox" in control
    assert "These are no results of the methods" in control
