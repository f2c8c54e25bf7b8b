import json
from pathlib import Path
from typing import Any

import pytest

from survbench.cli import main
from survbench.errors import InputError, UnknownNameError
from survbench.report.cost import read_report, request
from survbench.report.cost.measure import Place, Task
from survbench.report.cost.patients import Sizes
from survbench.report.cost.request import CostRequest, make_tasks, row_of
from survbench.report.cost.worker import Answer
from tests.report.cost.reports import report, row

SMALL = ["--width", "8", "--gene-widths", "3,3", "--preset", "quick", "--device", "cpu"]
FAST = ["--threads", "1", "--seconds", "0.01", "--repeats", "3"]


def test_cells_are_every_method_size_and_regime_fewest_patches_first() -> None:
    tasks, failures = make_tasks(CostRequest(["abmil", "snn"], [50, 20], missing=["none", "G"]))
    assert list(tasks) == ["abmil", "snn"]
    assert failures == []
    cells = [(task.sizes.patches, task.regime) for task in tasks["snn"]]
    assert cells == [(20, "none"), (20, "G"), (50, "none"), (50, "G")]


@pytest.mark.parametrize("regime", ["P@0.4", "P+G", "P@0.3+G@0.3"])
def test_a_regime_in_which_patients_differ_is_refused(regime: str) -> None:
    with pytest.raises(InputError, match="use none, P or G"):
        make_tasks(CostRequest(["abmil"], [20], missing=[regime]))


def test_wrong_names_and_limits_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'abmil'"):
        make_tasks(CostRequest(["abmli"], [20]))
    with pytest.raises(InputError, match="--preset 'fast' is no preset"):
        make_tasks(CostRequest(["abmil"], [20], preset="fast"))
    with pytest.raises(InputError, match="--device 'tpu' is not known; use auto, cpu or cuda"):
        CostRequest(["abmil"], [20], device="tpu")
    with pytest.raises(InputError, match="--seconds is 0; it must be above 0"):
        CostRequest(["abmil"], [20], seconds=0)


def test_what_was_too_much_is_not_tried_with_more_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def fake(tasks: Any, *_: Any, **__: Any) -> Any:
        for task in tasks:
            asked.append(task.sizes.patches)
            out = "out of memory" if task.sizes.patches > 10 else ""
            yield task, [Answer("latency", {} if out else {"median_ms": 1.0}, out, "too much")]

    monkeypatch.setattr(request, "measured", fake)
    wanted = CostRequest(["abmil"], [10, 20, 30], missing=["none"], device="cpu", threads=1)
    found = request.measure_all(wanted, make_tasks(wanted)[0], said=str)
    assert asked == [10, 20]
    assert [each.outcome for each in found.rows] == ["", "out of memory", "out of memory"]
    assert found.rows[2].reason == "not tried: out of memory with 20 patches"


def test_a_quantity_that_fails_leaves_the_others_in_the_row() -> None:
    answers = [
        Answer("latency", {"median_ms": 2.0}),
        Answer("flops", {}, "out of memory", "flops needs more memory"),
        Answer("training", {}, "not measured", "measured with nothing missing"),
    ]
    found = row_of(Task("abmil", "quick", Sizes(5)), Place(), answers)
    assert (found.median_ms, found.flops, found.outcome) == (2.0, None, "")
    assert found.missing == {
        "flops": "out of memory: flops needs more memory",
        "training": "measured with nothing missing",
    }


def test_the_command_measures_prints_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cpu.json"
    words = ["cost", "--method", "abmil", "--patches", "20", "--missing", "none,P", *SMALL, *FAST]
    assert main([*words, "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "abmil, 20 patches x 8, missing P: refused" in told.err
    found = read_report(out)
    assert [(each.regime, each.outcome) for each in found.rows] == [("none", ""), ("P", "refused")]
    assert found.rows[0].flops is not None
    assert found.protocol["gene_widths"] == [3, 3]
    assert found.machine["threads"] == 1
    assert main(["cost", "--read", str(out)]) == 0
    assert capsys.readouterr().out == told.out
    assert main(["cost", "--method", "all", "--patches", "5", "--dry-run"]) == 0
    assert "cells" in capsys.readouterr().out


def test_a_report_names_no_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import platform

    wanted = CostRequest(["abmil"], [10], missing=["none"], device="cpu", threads=1)
    monkeypatch.setattr(request, "measured", lambda *_, **__: iter(()))
    text = request.measure_all(wanted, make_tasks(wanted)[0], said=str).to_json()
    assert platform.node() not in text
    assert {"cpu", "threads", "dtype", "versions", "cpu_mhz"} <= set(json.loads(text)["machine"])


def test_patches_are_asked_for_where_they_are_forgotten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cost", "--method", "abmil"]) == 2
    assert "--patches is missing; write --patches 1000,4000" in capsys.readouterr().err


def test_without_options_the_reports_that_come_with_survbench_are_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from survbench.report import cost

    path = tmp_path / "cpu.json"
    path.write_text(report(row(median_ms=3.0)).to_json(), encoding="utf-8")
    monkeypatch.setattr(cost, "committed", lambda: [path])
    assert main(["cost"]) == 0
    assert "Abacus 3000" in capsys.readouterr().out
