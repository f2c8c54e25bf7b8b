import json
from pathlib import Path

import pytest

from survbench.errors import ResultError
from survbench.report.cost import pareto, read_report, series
from tests.report.cost.reports import report, row


def test_a_report_reads_back_as_it_was_written(tmp_path: Path) -> None:
    census = [{"operator": "softmax", "calls": 1, "elements": 5, "simple": True}]
    made = report(
        row(flops=10, macs=5, by_operator={"mm": 10}, uncounted=census, median_ms=1.5, calls=20),
        row(patches=2000, outcome="out of memory", reason="latency needs more memory"),
        row(missing={"training": "timeout: took longer than 3 seconds"}),
    )
    path = tmp_path / "cpu.json"
    path.write_text(made.to_json(), encoding="utf-8")
    read = read_report(path)
    assert read.rows == made.rows
    assert read.machine == made.machine
    assert json.loads(path.read_text())["schema"] == 1


def test_a_newer_report_is_refused(tmp_path: Path) -> None:
    values = json.loads(report(row()).to_json()) | {"schema": 99}
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ResultError, match="schema 99, this survbench reads up to 1; upgrade"):
        read_report(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "rows": [{"method": "x"}]}'])
def test_what_is_no_report_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ResultError, match=r"broken\.json is no cost report"):
        read_report(path)


def test_fields_that_a_later_report_adds_are_passed_over(tmp_path: Path) -> None:
    values = json.loads(report(row(flops=7)).to_json())
    values["rows"][0]["joules"] = 3
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    assert read_report(path).rows == (row(flops=7),)


def test_series_are_sorted_by_patches_and_leave_out_what_is_not_measured() -> None:
    rows = [
        row(patches=4000, median_ms=8.0),
        row(patches=1000, median_ms=2.0),
        row(patches=9000, outcome="out of memory"),
        row("snn", regime="P", median_ms=1.0),
    ]
    assert series(rows, "median_ms") == {"abmil": [(1000.0, 2.0), (4000.0, 8.0)]}
    assert series(rows, "median_ms", regime="P") == {"snn": [(1000.0, 1.0)]}


def test_pareto_marks_what_nothing_beats_in_both() -> None:
    rows = [
        row("cheap", median_ms=1.0),
        row("dear", median_ms=9.0),
        row("beaten", median_ms=5.0),
        row("twin", median_ms=1.0),
        row("unscored", median_ms=0.1),
        row("nan", median_ms=0.1),
        row("small", patches=10, median_ms=0.1),
    ]
    c_index = {
        **{"cheap": 0.6, "dear": 0.7, "beaten": 0.55, "twin": 0.6},
        **{"small": 0.9, "nan": float("nan")},
    }
    found = pareto(rows, c_index, patches=1000)
    assert [point.cost for point in found] == [1.0, 1.0, 5.0, 9.0]
    assert {point.method for point in found if point.best} == {"cheap", "twin", "dear"}
