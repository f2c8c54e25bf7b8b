"""Leaderboard rows as people and scripts read them: formats and layouts by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from survbench.errors import UnknownNameError
from survbench.report.row import Row
from survbench.report.tables import paper_formats
from survbench.report.tables.board import Board, Line, boards
from survbench.report.tables.github import github
from survbench.report.tables.latex import latex
from survbench.report.tables.records import as_csv, as_json
from survbench.report.tables.text import WIDTH, text

__all__ = ["FORMATS", "LAYOUTS", "WIDTH", "Board", "Line", "boards", "render"]

Render = Callable[[Sequence[Row]], str]

FORMATS: Mapping[str, Render] = {
    "text": text,
    "github": github,
    "latex": latex,
    "csv": as_csv,
    "json": as_json,
}
LAYOUTS: Mapping[str, Mapping[str, Render]] = {
    "board": FORMATS,
    "paper": {
        "text": paper_formats.as_text,
        "github": paper_formats.as_github,
        "latex": paper_formats.as_latex,
        "csv": paper_formats.as_csv,
    },
}
_NOTHING = "no results yet; see 'survbench run --help'"


def render(rows: Sequence[Row], format: str = "text", layout: str = "board") -> str:
    """Rows in a format and layout; ends with a newline.

    Parameters
    ----------
    rows : sequence of Row
        What is shown.
    format : str
        text, github, latex, csv or json.
    layout : str
        "board": a line per method and regime with all its numbers, a table per cohort. "paper":
        methods by cohorts, the C-index alone; not in json.

    Raises
    ------
    UnknownNameError
        There is no such format or layout.
    """
    see = "'survbench leaderboard --help'"
    if layout not in LAYOUTS:
        raise UnknownNameError(kind="layout", name=layout, known=LAYOUTS, see=see)
    formats = LAYOUTS[layout]
    if format not in formats:
        kind = "format" if layout == "board" else f"format of layout {layout!r}"
        raise UnknownNameError(kind=kind, name=format, known=formats, see=see)
    return (formats[format](rows).rstrip("\n") or _NOTHING) + "\n"
