"""Numbers that papers printed, as rows of boards of their own."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from importlib.resources.abc import Traversable
from pathlib import Path

from survbench.errors import ResultError
from survbench.report.row import About, Row, board_key, rank_order

COLUMNS = ("source", "table", "method", "missing", "cohort", "c_index", "std")


def published(path: str | Path | Traversable) -> list[Row]:
    """Rows of a table `source,table,method,missing,cohort,c_index,std`; blank where none is given.

    Raises
    ------
    ResultError
        A column is missing, or a cell is no number; the message names file and row.
    """
    file = Path(path) if isinstance(path, str) else path
    lines = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    lacking = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
    if lacking:
        msg = f"{file.name}, row 1: no column {lacking[0]!r}; needed: {', '.join(COLUMNS)}"
        raise ResultError(msg)
    rows = _rows(file.name, lines)
    return sorted(rows, key=lambda row: (board_key(row), rank_order(row)))


def _rows(name: str, lines: Iterable[dict[str, str | None]]) -> list[Row]:
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = {key: (line[key] or "").strip() for key in COLUMNS}
        rows.append(
            Row(
                cohort=cells["cohort"],
                method=cells["method"],
                regime=cells["missing"],
                c_index=_number(name, number, "c_index", cells["c_index"]),
                c_index_std=_number(name, number, "std", cells["std"]),
                reason="" if cells["c_index"] else "the source gives no number",
                about=About(source=f"{cells['source']}, table {cells['table']}"),
            )
        )
    return rows


def _number(name: str, row: int, column: str, cell: str) -> float:
    try:
        value = float(cell or "nan")
    except ValueError:
        value = math.inf
    if math.isinf(value):
        msg = f"{name}, row {row}, column {column!r}: {cell!r}; a number or nothing is needed"
        raise ResultError(msg)
    return value
