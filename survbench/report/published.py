"""Numbers that papers printed, as rows of boards of their own, and what they were measured on."""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from survbench.errors import ResultError
from survbench.report.row import About, Row, board_key, rank_order

COLUMNS = ("source", "table", "method", "missing", "cohort", "c_index", "std")
PAPERS = "papers.toml"


@dataclass(frozen=True)
class Paper:
    """What a paper measured on, as far as it says.

    Parameters
    ----------
    name : str
        As the published tables' `source` names it.
    paper : str
        Whose it is and where it appeared.
    endpoint : str
        What the event is.
    features : str
        Its patch features: the last part of the name of a cohort that has them.
    patients : mapping of cohort to int
        Patients per cohort.
    """

    name: str
    paper: str
    endpoint: str
    features: str
    patients: Mapping[str, int]


def published(path: str | Path | Traversable | None = None) -> list[Row]:
    """Rows of a table `source,table,method,missing,cohort,c_index,std`; blank where none is given.

    Parameters
    ----------
    path : path or None
        The table; None for those of all papers that come with survbench.

    Raises
    ------
    ResultError
        A column is missing, or a cell is no number; the message names file and row.
    """
    if path is None:
        files = [file for file in _folder().iterdir() if file.name.endswith(".csv")]
    else:
        files = [Path(path) if isinstance(path, str) else path]
    rows = [row for file in files for row in _read(file)]
    return sorted(rows, key=lambda row: (board_key(row), rank_order(row)))


def papers() -> dict[str, Paper]:
    """Papers whose numbers come with survbench, by name."""
    told = tomllib.loads((_folder() / PAPERS).read_text(encoding="utf-8"))
    return {name: Paper(name, **values) for name, values in told.items()}


def paper_of(row: Row) -> str:
    """Name of the paper a published row is from."""
    return row.about.source.partition(", table ")[0]


def _folder() -> Traversable:
    return resources.files("survbench.leaderboards") / "published"


def _read(file: Path | Traversable) -> list[Row]:
    lines = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    lacking = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
    if lacking:
        msg = f"{file.name}, row 1: no column {lacking[0]!r}; needed: {', '.join(COLUMNS)}"
        raise ResultError(msg)
    return _rows(file.name, lines)


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
