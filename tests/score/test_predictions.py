from pathlib import Path

import numpy as np
import pytest

from survbench.errors import ResultError
from survbench.score import read_outcome, read_predictions

HEADER = "case_id,time,event,risk,survival_1,survival_2,has_P,has_G,cos_recovered_G\n"
GOOD = (
    HEADER
    + "TCGA-2F-A9KO,12.5,1,-0.1,0.9,0.5,1,0,0.25\n"
    + "TCGA-4Z-AA7M,3.25,0,0.30000000000000004,0.7,0.7,1,1,\n"
)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "none.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_column_is_read(tmp_path: Path) -> None:
    table = read_predictions(written(tmp_path, GOOD))
    assert table.case_id.tolist() == ["TCGA-2F-A9KO", "TCGA-4Z-AA7M"]
    assert table.time.tolist() == [12.5, 3.25]
    assert table.event.tolist() == [True, False]
    assert table.risk.tolist() == [-0.1, 0.1 + 0.2]  # bit-equal
    assert table.survival is not None
    assert table.survival.tolist() == [[0.9, 0.5], [0.7, 0.7]]
    assert table.has["G"].tolist() == [False, True]
    assert np.array_equal(table.diagnostics["cos_recovered_G"], [0.25, np.nan], equal_nan=True)


def test_risk_alone_is_enough(tmp_path: Path) -> None:
    table = read_predictions(written(tmp_path, "case_id,time,event,risk\na,1,True,2\n"))
    assert table.survival is None
    assert table.event.tolist() == [True]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("12.5,1,", "abc,1,", "row 2, column 'time': 'abc'"),
        ("12.5,1,", "nan,1,", "row 2, column 'time': 'nan'"),
        ("3.25,0,", "-3.25,0,", "row 3, column 'time': '-3.25'"),
        ("3.25,0,", "3.25,2,", "row 3, column 'event': '2'"),
        ("-0.1,", ",", "row 2, column 'risk': ''"),
        ("-0.1,", "inf,", "row 2, column 'risk': 'inf'"),
        ("0.7,0.7", "0.7,0.8", "row 3, column 'survival_2': '0.8'"),
        ("0.9,0.5", "1.5,0.5", "row 2, column 'survival_1': '1.5'"),
        ("0.9,0.5", "0.9,-0.5", "row 2, column 'survival_2': '-0.5'"),
        ("TCGA-4Z-AA7M", "TCGA-2F-A9KO", "row 3, column 'case_id'"),
        (",1,1,\n", ",1,1\n", "row 3: 8 cells, but the header has 9"),
        ("risk", "score", "row 1: no column 'risk'"),
        ("cos_recovered_G", "risk", "row 1: column 'risk' twice"),
        ("survival_2", "survival_3", "they must run 1, 2, ... K"),
        (",1,1,\n", ",1,1,", "row 3: the file breaks off here"),
        (",1,1,\n", ",1,\x00,\n", "none.csv"),
    ],
)
def test_damage_is_named_with_file_row_and_column(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ResultError) as error:
        read_predictions(path)
    assert told in str(error.value)
    assert "none.csv" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", HEADER.encode(), b"\xff\xfe\x00", None])
def test_empty_binary_and_absent_files_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "none.csv" if content is None else written(tmp_path, content)
    with pytest.raises(ResultError, match=r"none\.csv"):
        read_predictions(path)


def test_training_outcomes_are_read(tmp_path: Path) -> None:
    case_id, time, event = read_outcome(written(tmp_path, "case_id,time,event\na,1,1\nb,2,0\n"))
    assert (case_id.tolist(), time.tolist(), event.tolist()) == (["a", "b"], [1, 2], [True, False])
