import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from survbench.bench.cell import Cell, find_cells
from survbench.bench.setting import Setting
from survbench.errors import ResultError, SurvbenchError
from survbench.report.leaderboard import score_fits, scored_rows
from survbench.report.submissions import untrusted
from survbench.report.submissions.pack import pack
from survbench.report.submissions.submission import find_submissions, submitted_fits
from tests.report.results import DATA, SPLIT, write_method
from tests.report.submissions.conftest import REGIMES
from tests.report.submissions.submitted import change_cells, change_predictions, folder_of, seal

SNN = Setting(DATA, SPLIT, "paired", "none", "snn", 1, {}).id
FILES = {"SHA256SUMS", "cells.json", "predictions.csv.gz", "train.csv"}


def read_all(root: Path) -> None:
    for one in find_submissions(root):
        one.read()


def test_a_submission_reads_back_bit_equal(demo_results: Path, root: Path) -> None:
    kept = {(fit.method, fit.seed, fit.fold): fit for fit in submitted_fits(root)}
    cells = find_cells(demo_results)
    assert len(kept) == len(cells) == 15
    for cell in cells:
        fit = kept[cell.method, cell.seed, cell.fold]
        assert fit.record == cell.record
        assert fit.regimes == cell.regimes == sorted(REGIMES)
        for regime in REGIMES:
            one, other = fit.prediction(regime), cell.prediction(regime)
            for name in ("case_id", "time", "event", "risk", "survival"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            for masks in (one.has, one.diagnostics):
                assert masks.keys() == (other.has if masks is one.has else other.diagnostics).keys()
            for name, mask in one.has.items():
                np.testing.assert_array_equal(mask, other.has[name])
        sent_time, kept_time = (np.sort(each.train_outcome()[1]) for each in (fit, cell))
        np.testing.assert_array_equal(sent_time, kept_time)


def test_a_submission_gives_the_rows_of_its_results(demo_results: Path, root: Path) -> None:
    rows = [entry.row for entry in score_fits(submitted_fits(root))]
    assert repr(rows) == repr([entry.row for entry in scored_rows(demo_results)])


def test_a_submission_holds_no_score_and_no_weight(root: Path) -> None:
    for one in find_submissions(root):
        assert {path.name for path in one.folder.iterdir()} == FILES
    header = gzip.decompress((folder_of(root, "clinical") / "predictions.csv.gz").read_bytes())
    assert header.startswith(b"regime,seed,fold,case_id,time,event,risk,survival_1,")


def test_the_same_results_give_the_same_bytes(demo_results: Path, tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        assert all(one.changed for one in pack(demo_results, tmp_path / name).submissions)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        made.append([(path.relative_to(tmp_path / name), path.read_bytes()) for path in files])
    assert made[0] == made[1]
    assert len(made[0]) == 3 * len(FILES)
    assert not any(one.changed for one in pack(demo_results, tmp_path / "one").submissions)


def test_one_training_file_serves_every_seed_and_fold(root: Path) -> None:
    lines = (folder_of(root, "clinical") / "train.csv").read_text().splitlines()
    assert lines[0] == "case_id,time,event,folds"
    assert len(lines) == 1 + 200  # the patients of demo
    assert {len(line.split(",")[3].split()) for line in lines[1:]} == {4}  # all folds but their own


def test_every_seed_of_a_fold_keeps_its_own_predictions(tmp_path: Path) -> None:
    cells = write_method(tmp_path, "snn", setting=SNN, folds=(0,), seeds=(0, 1))
    (tmp_path / "to").mkdir()
    pack(tmp_path, tmp_path / "to", cohort="toy")
    risks = [fit.prediction("none").risk.tolist() for fit in submitted_fits(tmp_path / "to")]
    assert risks == [cell.prediction("none").risk.tolist() for cell in cells]
    assert risks[0] != risks[1]


def test_a_seed_that_comes_later_joins_those_that_are_there(tmp_path: Path) -> None:
    same: dict[str, Any] = {"setting": SNN, "folds": (0,)}
    for name, seeds in (("both", (0, 1)), ("first", (0,)), ("second", (1,))):
        write_method(tmp_path / name, "snn", **same, regimes=("none", "P"), seeds=seeds)
    packed = {}
    for to, results in (("whole", ["both"]), ("grown", ["second", "first"])):
        (tmp_path / to).mkdir()
        for name in results:
            (one,) = pack(tmp_path / name, tmp_path / to, cohort="toy").submissions
        packed[to] = {path.name: path.read_bytes() for path in one.submission.folder.iterdir()}
        assert one.fits == 2
    assert packed["grown"] == packed["whole"]


def test_a_seed_that_comes_later_must_have_the_regimes_of_the_others(tmp_path: Path) -> None:
    same: dict[str, Any] = {"setting": SNN, "folds": (0,)}
    write_method(tmp_path / "one", "snn", **same, regimes=("none", "P"), seeds=(0,))
    write_method(tmp_path / "two", "abmil", folds=(0,))
    write_method(tmp_path / "two", "snn", **same, regimes=("none",), seeds=(1,))
    (tmp_path / "to").mkdir()
    pack(tmp_path / "one", tmp_path / "to", cohort="toy")
    with pytest.raises(ResultError, match="seed1-fold0 lacks regime P"):
        pack(tmp_path / "two", tmp_path / "to", cohort="toy")
    assert [path.name for path in (tmp_path / "to/toy").iterdir()] == ["snn"]  # nothing is sent


def test_refusals_travel_with_their_reason(tmp_path: Path) -> None:
    lacks = {"G": "60 of 60 test patients lack G, which snn needs"}
    write_method(tmp_path, "snn", setting=SNN, folds=(0,), refused=lacks)
    (tmp_path / "to").mkdir()
    pack(tmp_path, tmp_path / "to", cohort="toy")
    (fit,) = submitted_fits(tmp_path / "to")
    assert (fit.refusals, fit.regimes) == (lacks, ["none"])


def test_failed_and_incomplete_settings_are_refused(tmp_path: Path) -> None:
    cells = write_method(tmp_path / "failed", "abmil", folds=(0, 1))
    failed = Cell(tmp_path / "failed", "toy", "abmil", cells[0].setting, 0, 2)
    failed.fail("fit", {"error": "RuntimeError: out of memory", "traceback": []})
    write_method(tmp_path / "seeds", "abmil", seeds=(0,))
    write_method(tmp_path / "seeds", "abmil", folds=(0,), seeds=(1,))
    write_method(tmp_path / "regimes", "abmil", folds=(0,), regimes=("none", "P"))
    write_method(tmp_path / "regimes", "abmil", folds=(1,))
    for name, told in (
        ("failed", "fit failed: RuntimeError: out of memory"),
        ("seeds", "lacks seed 1 of fold 1"),
        ("regimes", "lacks regime P"),
    ):
        to = tmp_path / name / "to"
        to.mkdir()
        with pytest.raises(ResultError, match=told):
            pack(tmp_path / name, to, cohort="toy")
        assert list(to.iterdir()) == []


def test_a_submission_is_not_replaced_by_one_that_predicts_less(
    demo_results: Path, root: Path
) -> None:
    folder = folder_of(root, "clinical")
    change_cells(folder, lambda value: value["cells"][0].update(refusals={"G": "no"}))
    with pytest.raises(ResultError, match="holds regime G of seed 0, fold 0"):
        pack(demo_results, root, methods=["clinical"])


def test_an_unknown_method_or_setting_is_told(demo_results: Path, tmp_path: Path) -> None:
    with pytest.raises(SurvbenchError, match="Did you mean 'clinical'"):
        pack(demo_results, tmp_path, methods=["clincal"])
    with pytest.raises(SurvbenchError, match="unknown setting"):
        pack(demo_results, tmp_path, settings=["000000000000"])


# -- submissions nobody should trust


def test_files_and_folders_behind_links_are_refused(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password\n")
    folder = folder_of(root, "clinical")
    (folder / "train.csv").unlink()
    (folder / "train.csv").symlink_to(secret)
    with pytest.raises(ResultError, match=r"train\.csv is no plain file"):
        read_all(root)
    (root / "demo" / "copy").symlink_to(root / "demo" / "oracle")
    with pytest.raises(ResultError, match="reached by a link"):
        read_all(root)


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "extra.csv"])
def test_no_other_file_can_be_named(root: Path, name: str) -> None:
    folder = folder_of(root, "clinical")
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(ResultError, match=r"must name cells\.json, .* and nothing else"):
        read_all(root)


@pytest.mark.parametrize(
    "place", ["demo/..odd/0123456789ab", "demo/abmil/ABC", "demo/a b/" + "0" * 12]
)
def test_a_folder_that_cannot_be_a_name_is_refused(root: Path, place: str) -> None:
    (root / place).mkdir(parents=True)
    with pytest.raises(ResultError, match="cannot name a submission"):
        read_all(root)


def test_predictions_that_unpack_to_too_much_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted, "MAX_TEXT", 2**20)
    folder = folder_of(root, "clinical")
    (folder / "predictions.csv.gz").write_bytes(gzip.compress(b"0" * (2**20 + 1)))
    seal(folder)
    with pytest.raises(ResultError, match="unpacks to more than 1 MiB"):
        read_all(root)


def test_a_file_larger_than_allowed_is_not_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted, "MAX_FILE", 2**10)
    with pytest.raises(ResultError, match="is larger than"):
        read_all(root)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 99}, "has schema 99, this survbench reads up to 1"),
        ({"schema": None}, "has schema None"),
        ({"cells": []}, "must hold each seed and fold once"),
        ({"cells": ["text"]}, "cell 0: no 'changed' in its record"),
    ],
)
def test_an_unknown_schema_or_shape_is_told(
    root: Path, change: dict[str, object], told: str
) -> None:
    change_cells(folder_of(root, "clinical"), lambda value: value.update(change))
    with pytest.raises(ResultError, match=told):
        read_all(root)


def test_a_record_of_another_setting_is_told(root: Path) -> None:
    def other(value: dict[str, list[dict[str, dict[str, dict[str, object]]]]]) -> None:
        value["cells"][3]["record"]["setting"]["version"] = 99

    change_cells(folder_of(root, "clinical"), other)
    with pytest.raises(ResultError, match="cell 3 is about demo/clinical/"):
        read_all(root)


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b"regime,seed\n", mtime=0)[:-4], b""])
def test_a_damaged_archive_is_told(root: Path, data: bytes) -> None:
    folder = folder_of(root, "clinical")
    (folder / "predictions.csv.gz").write_bytes(data)
    seal(folder)
    with pytest.raises(ResultError, match=r"predictions\.csv\.gz (cannot be read|is empty)"):
        read_all(root)


def test_rows_out_of_order_are_told(root: Path) -> None:
    change_predictions(folder_of(root, "clinical"), lambda rows: [*rows, rows[1]])
    with pytest.raises(ResultError, match="stands out of order"):
        read_all(root)
