"""Submissions that tests change, hashed anew so that nothing but the change is wrong."""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Table = list[list[str]]


def folder_of(root: Path, method: str) -> Path:
    """The one submission of a method."""
    (folder,) = (root / "demo" / method).iterdir()
    return folder


def seal(folder: Path) -> None:
    """Write SHA256SUMS anew, as somebody who hides a change would."""
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" for name in names]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")


def change_predictions(folder: Path, change: Callable[[Table], Table]) -> None:
    """Replace the rows of the predictions (the header is row 0)."""
    path = folder / "predictions.csv.gz"
    rows = list(csv.reader(gzip.decompress(path.read_bytes()).decode().splitlines()))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(change(rows))
    path.write_bytes(gzip.compress(text.getvalue().encode()))
    seal(folder)


def change_cells(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what cells.json says."""
    path = folder / "cells.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    seal(folder)


def row_of(rows: Table, regime: str, fold: int) -> int:
    """Position of the first row of seed 0 under a regime in a fold."""
    return next(at for at, row in enumerate(rows) if row[:3] == [regime, "0", str(fold)])
