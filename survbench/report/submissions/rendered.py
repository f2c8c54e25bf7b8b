"""Boards as they are committed: rendered numbers, and what tables must say of them.

`<cohort>.csv` is the csv of `survbench leaderboard`; `<cohort>.json` holds what the caption and the
notes of its rows say (`About`), so that an installed survbench, which carries no predictions, shows
whole tables. Both are made from the submissions and checked against them, never edited by hand.
"""

from __future__ import annotations

import csv
import json
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from survbench.errors import ResultError, UnknownNameError
from survbench.report.leaderboard import Scored, score_fits
from survbench.report.row import FIELDS, NAN, About, Row
from survbench.report.submissions.submission import submitted_fits
from survbench.report.tables.records import as_csv

SCHEMA = 1


def committed() -> Traversable:
    """Folder of the leaderboards that come with survbench."""
    return resources.files("survbench.leaderboards")


def board_names(root: Traversable | None = None) -> list[str]:
    """Cohorts that have a rendered board, sorted."""
    return csv_names(root or committed())


def csv_names(folder: Traversable) -> list[str]:
    """Names of the CSV files in a folder, without their ending, sorted; none where it is not."""
    files = list(folder.iterdir()) if folder.is_dir() else []
    return sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv"))


def committed_entries(cohort: str | None = None) -> list[Scored]:
    """Rows of the committed boards with their predictions, scored from the submissions.

    Raises
    ------
    ResultError
        This survbench carries no predictions, or a submission is damaged.
    UnknownNameError
        There is no board of this cohort.
    """
    asked(cohort, board_names(), "boards", "'survbench leaderboard'")
    entries = score_fits(submitted_fits(str(committed()), cohort))
    if not entries:
        msg = (
            "an installed survbench carries no predictions of the committed boards; use a checkout "
            "of its repository, or name --results, the folder that 'survbench run' wrote"
        )
        raise ResultError(msg)
    return entries


def rendered_rows(cohort: str | None = None, root: Traversable | None = None) -> list[Row]:
    """Rows of the committed boards, as they are stored.

    Raises
    ------
    ResultError
        A board is damaged; the message names file, row and column.
    UnknownNameError
        There is no board of this cohort.
    """
    top = root or committed()
    names = asked(cohort, board_names(top), "boards", "'survbench leaderboard'")
    return [row for name in names for row in read_board(top, name)]


def asked(cohort: str | None, known: list[str], what: str, see: str) -> list[str]:
    """The cohort that is asked for, or all that have what is committed of this kind.

    Raises
    ------
    UnknownNameError
        It is none of those.
    """
    if cohort is not None and cohort not in known:
        kind = f"cohort in the committed {what}"
        raise UnknownNameError(kind, cohort, known, see)
    return known if cohort is None else [cohort]


def read_board(root: Traversable, cohort: str) -> list[Row]:
    """Rows of one rendered board, in its order."""
    file = root / f"{cohort}.csv"
    abouts = _abouts(root / f"{cohort}.json")
    rows = []
    for number, values in typed_rows(file, Row, FIELDS):
        about = abouts.get((values["setting"], values["regime"]))
        if about is None:
            msg = (
                f"{cohort}.json says nothing about row {number} of {file.name}; render both by "
                "'survbench submit'"
            )
            raise ResultError(msg)
        rows.append(Row(**values, about=about))
    return rows


def typed_rows(
    file: Traversable, kind: type, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and values of each row of a CSV file whose columns are fields of a dataclass.

    Raises
    ------
    ResultError
        A column is missing, or a cell is not of its field's type.
    """
    hints = get_type_hints(kind)
    lines = csv.DictReader(_text(file).splitlines())
    lacking = [name for name in columns if name not in (lines.fieldnames or ())]
    if lacking:
        msg = f"{file.name}, row 1: no column {lacking[0]!r}; render it by 'survbench submit'"
        raise ResultError(msg)
    for number, line in enumerate(lines, start=2):
        cells = {name: _cell(hints[name], file.name, number, name, line[name]) for name in columns}
        yield number, cells


def write_board(root: Path, cohort: str, rows: Sequence[Row]) -> None:
    """Write a board's rows; without any, its files are removed."""
    table, notes = root / f"{cohort}.csv", root / f"{cohort}.json"
    if not rows:
        table.unlink(missing_ok=True)
        notes.unlink(missing_ok=True)
        return
    listed = [
        {"setting": row.setting, "regime": row.regime, "about": _json(asdict(row.about))}
        for row in rows
    ]
    value = {"schema": SCHEMA, "rows": listed}
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    table.write_text(as_csv(rows), encoding="utf-8", newline="")
    notes.write_text(text + "\n", encoding="utf-8", newline="")


def _text(file: Traversable) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file.name} cannot be read: {error}; render it by 'survbench submit'"
        raise ResultError(msg) from error


def _cell(kind: Any, name: str, row: int, column: str, cell: str | None) -> Any:
    try:
        return NAN if kind is float and cell == "" else kind(cell if cell is not None else "?")
    except ValueError as error:
        what = {int: "a whole number", float: "a number or nothing"}.get(kind, "text")
        msg = f"{name}, row {row}, column {column!r}: {cell!r}; {what} is needed"
        raise ResultError(msg) from error


def _abouts(file: Traversable) -> dict[tuple[str, str], About]:
    """What is to be said of each row, by (setting, regime)."""
    try:
        value = json.loads(_text(file))
        if value["schema"] not in range(1, SCHEMA + 1):
            msg = f"schema {value['schema']!r} is not known; upgrade survbench"
            raise ResultError(msg)
        return {
            (row["setting"], row["regime"]): _typed(About, row["about"]) for row in value["rows"]
        }
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{file.name} cannot be read: {error}; render it by 'survbench submit'"
        raise ResultError(msg) from error


def _json(value: Any) -> Any:
    """Plain JSON: null where there is no number."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(part) for part in value]
    return value


def _typed(kind: Any, value: Any) -> Any:
    """Value of a type from its JSON: dataclasses, tuples, mappings, and NaN where a float is."""
    members = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        if value is None:
            return None
        return _typed(next(member for member in members if member is not types.NoneType), value)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{name: _typed(hints[name], part) for name, part in value.items()})
    if get_origin(kind) is tuple:
        inner = members[:1] * len(value) if members[-1] is Ellipsis else members
        return tuple(_typed(part, each) for part, each in zip(inner, value, strict=True))
    if isinstance(value, dict):
        return {key: _typed(members[1], part) for key, part in value.items()}
    return NAN if kind is float and value is None else value
