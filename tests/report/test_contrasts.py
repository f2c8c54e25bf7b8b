"""Added value, loss and rescue: which rows are compared, and that the parts add up."""

from dataclasses import replace
from pathlib import Path

import pytest

from survbench.errors import ResultError
from survbench.report.contrasts import Contrasts, contrast_rows, render_contrasts
from survbench.report.leaderboard import Scored, scored_rows
from survbench.report.tables import WIDTH
from tests.report.results import write_method

USE_G = {"use": "G"}
REGIMES = ("none", "P")


def test_every_row_that_lacks_a_modality_is_set_against_its_comparator(tmp_path: Path) -> None:
    write_method(tmp_path, "must", regimes=REGIMES, stream=1)
    write_method(tmp_path, "cox", setting="a" * 12, stream=2, changed=USE_G)
    write_method(tmp_path, "clinical", setting="b" * 12, regimes=REGIMES)
    entries = scored_rows(tmp_path)
    (found,) = contrast_rows(entries).rows
    value = {(entry.row.method, entry.row.regime): entry.row.c_index for entry in entries}
    assert (found.row.method, found.row.regime, found.comparator) == ("must", "P", "cox use=G")
    base, complete, missing = value["cox", "none"], value["must", "none"], value["must", "P"]
    assert found.added_value.difference == pytest.approx(complete - base, abs=1e-12)
    assert found.loss.difference == pytest.approx(complete - missing, abs=1e-12)
    assert found.rescue.difference == pytest.approx(missing - base, abs=1e-12)


def test_plain_cox_is_no_comparator(tmp_path: Path) -> None:
    write_method(tmp_path, "must", regimes=REGIMES)
    write_method(tmp_path, "cox", setting="a" * 12)
    with pytest.raises(ResultError, match="--method cox --set use=G"):
        contrast_rows(scored_rows(tmp_path))


def test_a_comparator_trained_with_something_missing_is_none(tmp_path: Path) -> None:
    write_method(tmp_path, "must", regimes=REGIMES)
    write_method(tmp_path, "cox", setting="a" * 12, changed=USE_G, train_regime="G@0.4")
    with pytest.raises(ResultError, match="no comparator"):
        contrast_rows(scored_rows(tmp_path))


def test_other_patients_are_never_compared(tmp_path: Path) -> None:
    write_method(tmp_path, "must", regimes=REGIMES)
    write_method(tmp_path, "cox", setting="a" * 12, folds=(0, 1), changed=USE_G)
    with pytest.raises(ResultError, match="no comparator"):
        contrast_rows(scored_rows(tmp_path))


def test_cohorts_whose_patients_bear_the_same_names_are_told_apart(tmp_path: Path) -> None:
    write_method(tmp_path, "must", regimes=REGIMES, stream=1)
    write_method(tmp_path, "cox", setting="a" * 12, stream=2, changed=USE_G)
    entries = scored_rows(tmp_path)
    later = [_elsewhere(entry) for entry in entries]
    together = contrast_rows([*entries, *later]).rows
    (here,), (there,) = contrast_rows(entries).rows, contrast_rows(later).rows
    assert [one.row.cohort for one in together] == ["toy", "elsewhere"]
    assert [one.rescue for one in together] == [here.rescue, there.rescue]


def _elsewhere(entry: Scored) -> Scored:
    """The same names and predictions in a cohort where everybody lives twice as long."""
    folds = tuple(replace(fold, time=2 * fold.time) for fold in entry.folds)
    return replace(entry, row=replace(entry.row, cohort="elsewhere"), folds=folds)


def test_the_table_names_comparator_verdict_and_patients(tmp_path: Path) -> None:
    write_method(tmp_path, "must", regimes=REGIMES, stream=1)
    write_method(tmp_path, "cox", setting="a" * 12, stream=2, changed=USE_G)
    found = contrast_rows(scored_rows(tmp_path))
    text = render_contrasts(found)
    assert "without P, against cox use=G" in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert any(verdict in text for verdict in ("shown", "not shown"))
    assert "simulated" in text or "toy" in text
    assert "run with --missing P,G" in render_contrasts(Contrasts([], {}))


def test_a_row_that_cannot_be_compared_is_named_with_the_reason(tmp_path: Path) -> None:
    write_method(tmp_path, "must", regimes=REGIMES)
    write_method(tmp_path, "cox", setting="a" * 12, changed=USE_G)
    write_method(tmp_path, "snn", setting="b" * 12, regimes=REGIMES, folds=(0, 1))
    write_method(tmp_path, "mlp", setting="c" * 12, regimes=("P",))
    found = contrast_rows(scored_rows(tmp_path))
    assert [one.row.method for one in found.rows] == ["must"]
    said = render_contrasts(found).splitlines()
    (snn,) = [line for line in said if line.startswith("left out") and "snn without P" in line]
    (mlp,) = [line for line in said if line.startswith("left out") and "mlp without P" in line]
    assert "different folds" in snn
    assert "no row of its own with nothing missing" in mlp
