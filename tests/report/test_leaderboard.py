import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from survbench.bench.disk import sums_line
from survbench.errors import ResultError
from survbench.report import Row, leaderboard
from survbench.score import bootstrap, interval, summarise
from tests.report.results import DATA, SPLIT, write_method
from tests.score.simulated import fold


def only(rows: list[Row], **wanted: object) -> Row:
    (row,) = (r for r in rows if all(getattr(r, key) == value for key, value in wanted.items()))
    return row


def test_a_row_holds_what_its_predictions_score(tmp_path: Path) -> None:
    write_method(tmp_path, "abmil", seeds=(0, 1), changed={"lr": 0.1, "epochs": 3})
    row = only(leaderboard(tmp_path))
    folds = [fold(f, seed=s) for f in range(3) for s in (0, 1)]
    summary = summarise(folds, 12.0)
    low, high = interval(bootstrap([folds])[:, 0])
    assert (row.cohort, row.method, row.regime, row.preset) == ("toy", "abmil", "none", "quick")
    assert (row.split, row.cohort_hash) == ("toy@" + SPLIT[:12], DATA)
    assert (row.seeds, row.folds, row.n) == (2, 3, 180)
    assert (row.events, row.left_out) == (summary.events, 6)
    assert row.changed == "epochs=3 lr=0.1"
    assert row.c_index == pytest.approx(summary.c_index.value, abs=1e-12)
    assert row.c_index_std == pytest.approx(summary.c_index_std, abs=1e-12)
    assert (row.c_index_low, row.c_index_high) == pytest.approx((low, high), abs=1e-12)
    for name in ("uno_c", "ibs", "auc", "logrank_p", "logrank_p_stratified"):
        wanted = getattr(summary, name).value
        assert math.isfinite(wanted)
        assert getattr(row, name) == pytest.approx(wanted, rel=1e-9)
    assert (row.mark, row.reason) == ("", "")


def test_what_tables_say_beside_the_fields_is_that_of_the_summary(tmp_path: Path) -> None:
    write_method(tmp_path, "abmil", train_median_risk=0.1)
    write_method(tmp_path, "older", survival=False)
    rows = {row.method: row for row in leaderboard(tmp_path)}
    folds = [replace(fold(f), train_median_risk=0.1) for f in range(3)]
    about, summary = rows["abmil"].about, summarise(folds, 12.0)
    assert about.hazard_ratio == summary.hazard_ratio
    assert about.deployable_hazard_ratio == summary.deployable_hazard_ratio
    assert about.deployable_p == summary.deployable_p.value < 1
    assert about.d_calibration_p == pytest.approx(summary.d_calibration_p.value, rel=1e-9)
    older = rows["older"].about
    assert math.isnan(older.deployable_p)
    assert "was not recorded" in older.reasons["deployable_p"]
    assert "no survival curve" in older.reasons["d_calibration_p"]


def test_an_interval_does_not_depend_on_the_other_rows(tmp_path: Path) -> None:
    write_method(tmp_path, "abmil")
    alone = only(leaderboard(tmp_path))
    write_method(tmp_path, "must", stream=1)
    together = only(leaderboard(tmp_path), method="abmil")
    assert (alone.c_index_low, alone.c_index_high) == (together.c_index_low, together.c_index_high)


def test_a_refusal_is_a_dash_with_its_reason_counted_over_folds(tmp_path: Path) -> None:
    lacks = {"G": "60 of 60 test patients lack G, which snn needs", "P": "P is not for snn"}
    write_method(tmp_path, "snn", refused=lacks)
    rows = leaderboard(tmp_path)
    row = only(rows, regime="G")
    assert math.isnan(row.c_index)
    assert row.reason == "180 of 180 test patients lack G, which snn needs"
    assert only(rows, regime="P").reason == "P is not for snn"
    assert only(rows, regime="none").scored


def test_a_filled_row_is_marked(tmp_path: Path) -> None:
    contract = {"uses": ["P", "G"], "tolerates": ["P"], "trains_without": [], "fill": "zero"}
    write_method(tmp_path, "mcat", regimes=("none", "G"), contract=contract)
    rows = leaderboard(tmp_path)
    assert only(rows, regime="none").mark == ""
    assert only(rows, regime="G").mark == "*"


def test_a_failed_fit_leaves_no_average_of_the_rest(tmp_path: Path) -> None:
    cells = write_method(tmp_path, "abmil", folds=(0, 1))
    failed = type(cells[0])(tmp_path, "toy", "abmil", cells[0].setting, 0, 2)
    failed.fail("fit", {"error": "RuntimeError: out of memory", "traceback": []})
    row = only(leaderboard(tmp_path))
    assert math.isnan(row.c_index)
    assert row.reason == ("incomplete: fit of fold 2, seed 0 failed: RuntimeError: out of memory")


def test_a_setting_of_failures_alone_is_a_row(tmp_path: Path) -> None:
    cells = write_method(tmp_path, "abmil", folds=(0,))
    other = type(cells[0])(tmp_path, "toy", "must", "fedcba987654", 0, 0)
    other.fail("fit", {"error": "ValueError: no", "traceback": []})
    row = only(leaderboard(tmp_path), method="must")
    assert row.reason == "every fit failed; fold 0, seed 0: ValueError: no"


def test_a_missing_seed_of_a_fold_leaves_no_number(tmp_path: Path) -> None:
    write_method(tmp_path, "abmil", folds=(0, 1, 2), seeds=(0,))
    write_method(tmp_path, "abmil", folds=(0,), seeds=(1,))
    row = only(leaderboard(tmp_path))
    assert math.isnan(row.c_index)
    assert row.reason == (
        "incomplete: fold 1, seed 1 and 1 more not predicted; run the same command again"
    )


def test_fewer_folds_than_the_split_has_are_told_and_not_ranked(tmp_path: Path) -> None:
    write_method(tmp_path, "abmil", folds=(0, 2))
    row = only(leaderboard(tmp_path))
    assert row.scored
    assert not row.ranked
    assert row.reason == "folds 0, 2 of 3 only"


def test_risk_only_methods_have_no_brier_score_and_say_why(tmp_path: Path) -> None:
    write_method(tmp_path, "deepattnmisl", survival=False)
    row = only(leaderboard(tmp_path))
    assert row.scored
    assert math.isnan(row.ibs)
    assert "no survival curve" in row.about.reasons["ibs"]


def test_remarks_on_training_are_flags(tmp_path: Path) -> None:
    write_method(tmp_path, "abmil", train_c_index=0.6, config={"sampler": "balanced"})
    write_method(tmp_path, "clinical", train_c_index=0.6)
    rows = leaderboard(tmp_path)
    under_fitted, balanced = only(rows, method="abmil").about.flags
    assert under_fitted == "under-fitted: C-index in training 0.600"
    assert "not calibrated" in balanced
    assert only(rows, method="clinical").about.flags == ()


def test_one_fit_that_learnt_nothing_is_not_hidden_by_the_mean(tmp_path: Path) -> None:
    write_method(tmp_path, "adamhf", folds=(0, 1), train_c_index=0.95)
    write_method(tmp_path, "adamhf", folds=(2,), train_c_index=0.54)
    row = only(leaderboard(tmp_path))
    assert row.about.flags == ("under-fitted in 1 of 3 fits: C-index in training 0.540",)


def test_controls_stand_on_top_and_the_best_comes_first(tmp_path: Path) -> None:
    for stream, method in enumerate(("abmil", "site", "must", "clinical", "oracle")):
        write_method(tmp_path, method, stream=stream)
    write_method(tmp_path, "aaa", regimes=(), refused={"none": "no"})
    rows = leaderboard(tmp_path)
    assert [row.method for row in rows[:2]] == ["clinical", "site"]
    values = [row.c_index for row in rows[2:5]]
    assert values == sorted(values, reverse=True)
    assert rows[5].method == "aaa"
    assert {row.method for row in rows if row.ranked} == {"abmil", "must"}


def test_rows_are_compared_with_the_reference_given_three_seeds(tmp_path: Path) -> None:
    for stream, method in enumerate(("cox", "abmil", "must")):
        write_method(tmp_path, method, stream=stream, seeds=(0, 1, 2))
    write_method(tmp_path, "snn", stream=5, seeds=(0,))
    rows = leaderboard(tmp_path)
    cox, abmil, snn = (only(rows, method=name) for name in ("cox", "abmil", "snn"))
    assert cox.about.comparison is None
    assert snn.about.comparison is None
    made = abmil.about.comparison
    assert made is not None
    assert (abmil.about.reference, abmil.about.family) == ("cox", 2)
    assert made.difference == pytest.approx(abmil.c_index - cox.c_index, abs=1e-12)
    assert made.p_holm >= made.p_value


def test_rows_can_be_chosen_by_cohort_and_setting(tmp_path: Path) -> None:
    write_method(tmp_path, "abmil", setting="aaaaaaaaaaaa")
    write_method(tmp_path, "must", setting="bbbbbbbbbbbb")
    assert [row.method for row in leaderboard(tmp_path, settings=["bbbbbbbbbbbb"])] == ["must"]
    assert leaderboard(tmp_path, cohort="other") == []
    assert leaderboard(tmp_path, settings=[]) == []


def test_a_damaged_prediction_file_is_named(tmp_path: Path) -> None:
    cell = write_method(tmp_path, "abmil")[1]
    path = cell.folder / "predictions" / "none.csv"
    path.write_text(path.read_text().replace("case-1-0003", "case-1-0004"))
    with pytest.raises(ResultError, match=r"fold1.*none\.csv is damaged"):
        leaderboard(tmp_path)
    path.with_suffix(".sha256").write_text(sums_line(path))
    with pytest.raises(ResultError, match=r"none\.csv, row 6, column 'case_id'"):
        leaderboard(tmp_path)


def test_no_results_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="does not exist"):
        leaderboard(tmp_path / "nowhere")


def test_scores_come_from_prediction_files_only(tmp_path: Path) -> None:
    write_method(tmp_path, "abmil", c_index=0.99, train_c_index=0.99)
    wanted = summarise([fold(f) for f in range(3)], 12.0).c_index.value
    assert np.isclose(only(leaderboard(tmp_path)).c_index, wanted)
