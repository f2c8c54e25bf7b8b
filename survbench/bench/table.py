"""Tables of a cell: what was known of patients and what was predicted, as exact text."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survbench.cohort import Cohort
from survbench.errors import ResultError
from survbench.method import Prediction
from survbench.score.predictions import SURVIVAL


def outcome_columns(cohort: Cohort) -> dict[str, NDArray[Any]]:
    """Who, how long, and whether death was seen."""
    return {"case_id": cohort.case_id, "time": cohort.time, "event": cohort.event}


def prediction_columns(cohort: Cohort, prediction: Prediction) -> dict[str, NDArray[Any]]:
    """Columns of a prediction file about the patients whom a method saw."""
    if not np.array_equal(prediction.case_id, cohort.case_id):
        msg = "a prediction is not about the patients it was asked for"
        raise ResultError(msg)
    columns = {**outcome_columns(cohort), "risk": prediction.risk}
    if prediction.survival is not None:
        for number, column in enumerate(np.transpose(prediction.survival), start=1):
            columns[f"{SURVIVAL}{number}"] = column
    columns |= {f"has_{name}": part.present for name, part in cohort.modalities.items()}
    return columns | dict(prediction.diagnostics)


def write_table(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """CSV whose numbers read back bit-equal: every float as the shortest text of its float64."""
    rows = zip(*(_texts(np.asarray(column)) for column in columns.values()), strict=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _texts(column: NDArray[Any]) -> list[str]:
    if column.dtype == bool:
        return [str(int(value)) for value in column]
    if np.issubdtype(column.dtype, np.floating):
        return [repr(value) for value in column.astype(np.float64).tolist()]
    return [str(value) for value in column.tolist()]
