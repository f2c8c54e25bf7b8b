"""The command line: what it prints and its exit codes; for wrong input see tests/bad_input."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import survbench
from survbench.cli import main
from survbench.report.cards import read_card

Capture = pytest.CaptureFixture[str]


def told(capsys: Capture) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_debug_shows_the_traceback(capsys: Capture) -> None:
    assert main(["run", "--method", "coxx", "--debug"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith("error: unknown method")


def test_an_unexpected_error_is_one_line_with_exit_code_1(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        msg = "division by zero"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr("survbench.registry.list_methods", broken)
    assert main(["methods"]) == 1
    assert told(capsys).startswith("error: unexpected ZeroDivisionError: division by zero")


def test_output_that_finds_no_room_is_one_line_with_exit_code_1() -> None:
    with Path("/dev/full").open("w") as full:
        made = subprocess.run(
            [sys.executable, "-m", "survbench", "methods"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert made.returncode == 1
    assert made.stderr == (
        "error: cannot write: No space left on device; make room and run the same command again\n"
    )


def test_listing_the_methods_loads_neither_torch_nor_pandas() -> None:
    script = (
        "import sys; from survbench.cli import main; assert main(['methods']) == 0; "
        "print(sorted({'torch', 'pandas', 'sksurv', 'survbench.methods.cox'} & set(sys.modules)))"
    )
    made = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    lines = made.stdout.splitlines()
    assert lines[-1] == "[]"
    assert any(line.startswith("cox ") for line in lines)


def test_a_method_is_shown_with_its_docstring_contract_and_config(capsys: Capture) -> None:
    assert main(["methods", "abmil"]) == 0
    shown = capsys.readouterr().out
    assert "Source: Ilse" in shown
    assert "uses: P\n" in shown
    assert "  epochs=" in shown
    assert "preset quick: " in shown


def test_the_version_is_that_of_the_package(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"survbench {survbench.__version__}\n"


def test_a_dry_run_lists_the_cells_and_writes_nothing(capsys: Capture, tmp_path: Path) -> None:
    results = tmp_path / "results"
    words = ["run", "--method", "cox", "--missing", "P", "--results", str(results), "--dry-run"]
    assert main([*words, "--folds", "1", "--folds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "6 of 6 cells to do"
    assert lines[0].startswith("demo/oracle/")
    assert lines[0].endswith("/seed0-fold1: none, P")
    assert not results.exists()


def test_a_run_ends_with_the_table_of_its_own_rows_and_resumes(
    capsys: Capture, tmp_path: Path
) -> None:
    words = ["run", "--method", "clinical", "--results", str(tmp_path), "--folds", "0,1"]
    assert main([*words, "--missing", "P"]) == 0
    first = capsys.readouterr()
    assert "clinical" in first.out
    assert "[6/6]" in first.err
    assert main(words) == 0
    second = capsys.readouterr()
    assert "6 of 6 cells are there already" in second.err
    shown = {line.split()[1] for line in second.out.splitlines() if "clinical  " in line}
    assert shown == {"none"}

    board = ["leaderboard", "--results", str(tmp_path)]
    assert main([*board, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(row["method"], row["regime"]) for row in rows} == {
        (method, regime)
        for method in ("clinical", "oracle", "attainable")
        for regime in ("none", "P")
    }
    assert main([*board, "--cohort", "demo", "--format", "json"]) == 0
    json.loads(capsys.readouterr().out)
    for format in ("text", "github", "latex"):
        assert main([*board, "--format", format]) == 0
        assert "clinical" in capsys.readouterr().out


def test_embedded_cohorts_and_their_splits_are_listed(capsys: Capture) -> None:
    assert main(["cohort", "list"]) == 0
    assert capsys.readouterr().out.startswith("demo ")
    assert main(["splits", "list"]) == 0
    assert "tcga_blca.site" in capsys.readouterr().out
    assert main(["cohort", "show", "gse7390"]) == 0
    assert "cases: 198" in capsys.readouterr().out


def test_made_splits_keep_their_promises(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["splits", "make", "--cohort", "demo", "--seed", "3"]) == 0
    assert main(["splits", "check", "demo.csv", "--cohort", "demo"]) == 0
    capsys.readouterr()
    assert main(["splits", "make", "--cohort", "demo"]) == 2
    assert "demo.csv exists" in told(capsys)


def test_splits_that_break_their_promise_have_exit_code_1(capsys: Capture, tmp_path: Path) -> None:
    from survbench.cohort.catalogue import load_cohort

    by_time = load_cohort("demo").cases["event"].sort_values(kind="stable").index
    lines = [f"{case},{position * 5 // 200}" for position, case in enumerate(by_time)]
    path = tmp_path / "bad.csv"
    path.write_text("case_id,fold\n" + "\n".join(lines) + "\n")
    assert main(["splits", "check", str(path), "--cohort", "demo"]) == 1
    assert "FAILED: largest gap" in capsys.readouterr().out


def test_a_cohort_is_built_checked_shown_and_run(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from survbench.cohort.catalogue import load_cohort

    monkeypatch.chdir(tmp_path)
    demo = load_cohort("demo")
    genes = demo.modalities["G"].values[:, :4]  # type: ignore[union-attr]
    table = demo.cases[["time"]].set_axis(["survival_months"], axis=1)
    table["censorship"] = (~demo.cases["event"]).astype(int)
    table["slide_id"] = [f"{case}.svs" for case in table.index]
    for column, name in enumerate(("AAA", "BBB", "CCC", "DDD")):
        table[f"{name}_rnaseq"] = genes[:, column]
    table.to_csv("table.csv")
    assert main(["cohort", "build", "mine", "--table", "table.csv", "--splits", "demo"]) == 0
    assert "200 cases" in capsys.readouterr().out
    assert main(["cohort", "check", "mine"]) == 0
    assert main(["cohort", "show", "mine"]) == 0
    assert "default_splits: demo" in capsys.readouterr().out
    assert main(["run", "--method", "cox", "--cohort", "mine", "--folds", "0"]) == 0
    assert "preset standard" in capsys.readouterr().out

    with Path("mine/cases.csv").open("a") as file:
        file.write(" ")
    assert main(["cohort", "check", "mine"]) == 1
    assert "wrong: " in capsys.readouterr().err


def test_a_prediction_file_is_scored_without_its_cell(tmp_path: Path, capsys: Capture) -> None:
    # three comparable pairs: 1 < 2, 1 < 3 and 2 < 3 months; the risks rank two of them rightly
    file = tmp_path / "anyone.csv"
    file.write_text("case_id,time,event,risk\na,1,1,0.3\nb,2,1,0.1\nc,3,0,0.2\n")
    assert main(["score", str(file)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "anyone.csv" in line]
    assert row.split()[1:] == ["3", "2", "0.6667", "-", "-", "-"]


def test_a_card_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo.card.json"
    assert main(["cohort", "card", "demo", "--out", str(out)]) == 0
    assert "200" in capsys.readouterr().out
    assert read_card(out).name == "demo"
