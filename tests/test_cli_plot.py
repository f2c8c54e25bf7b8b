"""`survbench plot`: files it writes, and one-line errors that say what is there."""

import shutil
from pathlib import Path

import pytest

from survbench.cli import main
from tests.report.results import write_method

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for stream, method in enumerate(("cox", "must")):
        write_method(folder, method, regimes=("none", "P"), stream=stream)
    return folder


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("km --method must --missing P", ["km-toy-must-P"]),
        ("km-grid", ["km_grid-toy"]),
        ("degradation --missing P", ["degradation-toy-P"]),
        ("calibration --method cox --missing none", ["calibration-toy-cox-none"]),
        ("forest", ["forest-toy"]),
    ],
)
def test_every_kind_writes_its_files(
    words: str, names: list[str], results: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "figures"
    assert main(["plot", *words.split(), "--results", str(results), "--out", str(out)]) == 0
    wanted = [out / f"{name}.{kind}" for name in names for kind in ("svg", "png")]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in wanted]
    assert sorted(out.iterdir()) == sorted(wanted)
    assert all(path.stat().st_size > 1000 for path in wanted)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("km --cohort luad", "error: unknown cohort in the committed boards 'luad'."),
        ("frest --results {}", "error: unknown plot 'frest'. Did you mean 'forest'?"),
        ("km --results {} --method mst", "error: unknown method in these results 'mst'. Did you"),
        (
            "km --results {} --missing G",
            "error: nothing to plot: no such row in {}; there are cohorts: toy; methods: ",
        ),
        ("km --results {} --cohort x", "error: nothing to plot: {} holds no such results"),
        ("degradation --results {} --missing G", "error: no degradation curve: these results have"),
        ("km --results {} --format pdf", "error: unknown format 'pdf'. Known: png, svg."),
        ("km --results {} --missing P@7", "error: regime 'P@7': rate 7 is outside 0 to 1"),
        ("km --results nowhere", "error: results folder 'nowhere' does not exist"),
    ],
)
def test_wrong_input_is_one_line_that_says_what_is_there(
    words: str,
    expected: str,
    results: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plot", *words.format(results).split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(expected.format(results))
    assert not (tmp_path / "figures").exists()


def test_without_results_the_committed_boards_are_plotted(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, boards = tmp_path / "results", tmp_path / "boards"
    boards.mkdir()
    assert main(["run", "--method", "clinical", "--results", str(results)]) == 0
    assert main(["submit", str(results), "--to", str(boards)]) == 0
    monkeypatch.setattr("survbench.report.submissions.rendered.committed", lambda: boards)
    words = ["plot", "km-grid", "--cohort", "demo", "--out", str(tmp_path / "figures")]
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.split()[0].endswith("km_grid-demo.svg")
    shutil.rmtree(boards / "demo")  # as in a wheel, which has the rendered boards alone
    assert main(words) == 2
    assert "carries no predictions" in capsys.readouterr().err


def test_cost_without_measurements_says_how_to_make_them(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("survbench.report.cost.committed", list)
    assert main(["plot", "cost"]) == 2
    assert "no cost plot: no measurements come with this survbench" in capsys.readouterr().err
