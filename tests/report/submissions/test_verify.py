import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from survbench.cli import main
from survbench.cohort import Folds, Regime, load_cohort, read_splits
from survbench.report.leaderboard import score_fits
from survbench.report.submissions.audit import audit
from survbench.report.submissions.rendered import rendered_rows
from survbench.report.submissions.submission import find_submissions, submitted_fits
from survbench.report.submissions.verify import verify
from tests.report.submissions.submitted import (
    Table,
    change_cells,
    change_predictions,
    folder_of,
    row_of,
)

BOTH = "G@0.3+P@0.4"


def wrong(root: Path) -> str:
    found = verify(root)
    assert found.wrong
    return "\n".join(found.wrong)


def audited(root: Path) -> str:
    """What is wrong apart from the numbers, which take longer to recompute."""
    found = list(audit(find_submissions(root)))
    assert found
    return "\n".join(found)


def change_everywhere(root: Path, change: Any) -> None:
    """The same change to the predictions of every method, so that they agree with each other."""
    for method in ("attainable", "clinical", "oracle"):
        change_predictions(folder_of(root, method), change)


def column(rows: Table, name: str) -> int:
    return rows[0].index(name)


def test_what_was_submitted_is_verified(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "--verify", str(root)]) == 0
    told = capsys.readouterr().out
    assert told == "1 board, 3 submissions, 9 rows recomputed: every number follows\n"


def test_a_board_reads_back_as_it_was_rendered(root: Path) -> None:
    wanted = [entry.row for entry in score_fits(submitted_fits(root))]
    assert repr(rendered_rows("demo", root)) == repr(wanted)


def test_a_changed_score_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root / "demo.csv"
    rows = list(csv.reader(io.StringIO(file.read_text())))
    at = rows[0].index("c_index")
    row = next(number for number, line in enumerate(rows) if line[1:3] == ["clinical", BOTH])
    rows[row][at] = str(float(rows[row][at]) + 0.0001)
    with file.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
    assert main(["leaderboard", "--verify", str(root)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"demo.csv, row {row + 1} (clinical, {BOTH}, setting " in line
    assert f"column 'c_index': {rows[row][at]} is stored" in line


def test_a_changed_note_is_named(root: Path) -> None:
    file = root / "demo.json"
    value = json.loads(file.read_text())
    value["rows"][0]["about"]["seeds"] = [0, 1, 2]
    file.write_text(json.dumps(value))
    told = wrong(root)
    assert "row 2 (clinical, none" in told
    assert "'seeds' of its notes: (0, 1, 2) is stored, the submission gives (0,)" in told


def test_a_removed_a_repeated_and_an_invented_row_are_named(root: Path) -> None:
    file = root / "demo.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:-1], lines[1]]) + "\n")
    told = wrong(root)
    assert "row 10 (clinical, none" in told
    assert "stands twice" in told
    assert "no row for" in told


def test_a_changed_prediction_is_named(root: Path) -> None:
    def change(rows: Table) -> Table:
        at = column(rows, "risk")
        block = [row for row in rows if row[:3] == ["none", "0", "2"]]
        by_risk = sorted(block, key=lambda row: float(row[at]))
        by_risk[0][at], by_risk[-1][at] = by_risk[-1][at], by_risk[0][at]
        return rows

    change_predictions(folder_of(root, "clinical"), change)
    told = wrong(root)
    assert "demo.csv, row 2 (clinical, none" in told
    assert "column 'c_index'" in told


def test_a_prediction_changed_without_its_hash_is_named(root: Path) -> None:
    file = folder_of(root, "clinical") / "predictions.csv.gz"
    file.write_bytes(file.read_bytes() + b"\0")
    assert f"{file} is damaged: its sha256 is not the one in SHA256SUMS" in wrong(root)


@pytest.mark.parametrize("regime", ["none", BOTH])
def test_a_changed_mask_is_named(root: Path, regime: str) -> None:
    row = 0

    def change(rows: Table) -> Table:
        nonlocal row
        row, at = row_of(rows, regime, 1), column(rows, "has_P")
        rows[row][at] = str(1 - int(rows[row][at]))
        return rows

    change_predictions(folder_of(root, "clinical"), change)
    told = wrong(root)
    assert f"predictions.csv.gz, row {row + 1}, case " in told
    assert f"under {regime} it is " in told


def test_the_masks_are_drawn_as_the_suite_draws_them(root: Path) -> None:
    # not from the auditor's own cohort of presence, but from the real one
    demo = load_cohort("demo")
    seen = Regime.parse(BOTH).apply(demo).cohort.present
    for fit in submitted_fits(root):
        table = fit.prediction(BOTH)
        for name, mask in table.has.items():
            assert mask.tolist() == seen[name].loc[table.case_id.tolist()].tolist()


@pytest.mark.parametrize("regime", ["none", BOTH])
def test_a_removed_patient_is_named(root: Path, regime: str) -> None:
    gone = ""

    def change(rows: Table) -> Table:
        nonlocal gone
        row = row_of(rows, regime, 3)
        gone = rows[row][3]
        return [*rows[:row], *rows[row + 1 :]]

    change_predictions(folder_of(root, "clinical"), change)
    assert f"regime {regime}, seed 0, fold 3: patient {gone!r} of fold 3 is missing" in audited(
        root
    )


def test_a_patient_removed_by_everybody_is_named(root: Path) -> None:
    def change(rows: Table) -> Table:
        gone = rows[row_of(rows, "none", 3)][3]
        return [row for row in rows if row[3] != gone]

    change_everywhere(root, change)
    assert "of fold 3 is missing" in audited(root)


def test_a_patient_removed_from_every_file_is_missed_in_the_split(root: Path) -> None:
    gone = load_cohort("demo").case_id[7]
    fold = int(read_splits("demo").fold[gone])
    event = int(load_cohort("demo").event[7])

    def cells(value: dict[str, Any]) -> None:
        for cell in value["cells"]:
            part = "test" if cell["record"]["fold"] == fold else "train"
            cell["record"][part]["n"] -= 1
            cell["record"][part]["events"] -= event

    for method in ("attainable", "clinical", "oracle"):
        folder = folder_of(root, method)
        train = folder / "train.csv"
        lines = train.read_text().splitlines(keepends=True)
        train.write_text("".join(line for line in lines if not line.startswith(f"{gone},")))
        change_predictions(folder, lambda rows: [row for row in rows if row[3] != gone])
        change_cells(folder, cells)
    assert "accounts for 199 patients, split demo has 200" in audited(root)


def test_a_duplicated_patient_is_named(root: Path) -> None:
    row = 0

    def change(rows: Table) -> Table:
        nonlocal row
        row = row_of(rows, "P", 4)
        return [*rows[: row + 1], rows[row], *rows[row + 1 :]]

    change_predictions(folder_of(root, "clinical"), change)
    told = wrong(root)
    assert f"predictions.csv.gz, row {row + 2}, column 'case_id'" in told
    assert "this patient has a row already" in told


def test_a_duplicated_patient_under_another_name_is_named(root: Path) -> None:
    def change(rows: Table) -> Table:
        row = row_of(rows, "none", 4)
        other = [*rows[row][:3], "demo-9999", *rows[row][4:]]
        return [*rows[: row + 1], other, *rows[row + 1 :]]

    change_everywhere(root, change)
    assert "split demo does not know this patient" in audited(root)


def test_another_split_is_named(root: Path) -> None:
    def change(rows: Table) -> Table:
        one, other = row_of(rows, "none", 0), row_of(rows, "none", 1)
        swapped = {rows[one][3]: rows[other][3:6], rows[other][3]: rows[one][3:6]}
        return [[*row[:3], *swapped.get(row[3], row[3:6]), *row[6:]] for row in rows]

    change_everywhere(root, change)
    told = audited(root)
    assert "tested in fold 0, but split demo says fold 1" in told
    assert "predictions.csv.gz, row " in told


def test_folds_of_a_split_that_is_not_committed_must_have_its_hash(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("survbench.report.submissions.audit._committed", dict[str, Folds])
    assert not list(audit(find_submissions(root)))

    def change(rows: Table) -> Table:
        one, other = row_of(rows, "none", 0), row_of(rows, "none", 1)
        swapped = {rows[one][3]: rows[other][3:6], rows[other][3]: rows[one][3:6]}
        return [[*row[:3], *swapped.get(row[3], row[3:6]), *row[6:]] for row in rows]

    change_everywhere(root, change)
    told = audited(root)
    assert "tested in fold 0, which was trained on this patient" in told
    assert "the patients' folds are not those of split" in told


@pytest.mark.parametrize(("name", "value"), [("time", "1.25"), ("event", "")])
def test_a_changed_outcome_is_named(root: Path, name: str, value: str) -> None:
    def change(rows: Table) -> Table:
        at, row = column(rows, name), row_of(rows, "none", 2)
        case, new = rows[row][3], value or str(1 - int(rows[row][at]))
        for line in rows[1:]:
            line[at] = new if line[3] == case else line[at]
        return rows

    change_everywhere(root, change)
    told = audited(root)
    assert "predictions.csv.gz, row " in told
    assert "; elsewhere " in told


def test_one_unreadable_submission_does_not_hide_the_others(root: Path) -> None:
    (folder_of(root, "oracle") / "cells.json").write_text("{")
    file = root / "demo.csv"
    file.write_text(file.read_text().replace(",quick,", ",paper,"))
    told = wrong(root)
    assert "cells.json is damaged" in told
    assert "column 'preset': 'paper' is stored" in told


def test_rendering_anew_mends_a_board(root: Path) -> None:
    (root / "demo.csv").unlink()
    assert "demo.csv" in wrong(root)
    assert main(["submit", "--to", str(root)]) == 0
    assert verify(root).wrong == ()
