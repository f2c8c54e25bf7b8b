"""Rows for scripts: CSV and JSON with stable fields, one record per setting and regime."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence

from survbench.report.row import FIELDS, Row

SCHEMA = 1


def as_csv(rows: Sequence[Row]) -> str:
    """One line per row; empty where there is no number."""
    return csv_of(FIELDS, [row.values for row in rows])


def csv_of(columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    """Text of a CSV file with these columns; empty where a number is not finite."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: "" if _is_nan(value) else value for name, value in line.items()})
    return text.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    """Object with `schema` and `rows`; null where there is no number."""
    listed = [
        {name: None if _is_nan(value) else value for name, value in row.values.items()}
        for row in rows
    ]
    return json.dumps({"schema": SCHEMA, "rows": listed}, indent=1, allow_nan=False)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
