"""The papers' layout in every format."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from survbench.report.row import Row
from survbench.report.tables.board import DECIMALS
from survbench.report.tables.caption import NONE
from survbench.report.tables.cells import Cells, c_index, with_notes
from survbench.report.tables.github import github_table
from survbench.report.tables.latex import NEEDS, latex_table, missing_at_test
from survbench.report.tables.paper_layout import (
    LACKING,
    OVERALL,
    UNUSED,
    USED,
    PaperLine,
    PaperTable,
    paper_tables,
)
from survbench.report.tables.text import WIDTH, text_table

_SHARED = ("population", "preset", "train_regime", "regime", "method", "changed")
_WORDS = {USED: "has", LACKING: "lacks", UNUSED: ""}


def as_text(rows: Sequence[Row]) -> str:
    """Tables of at most a hundred columns; more cohorts than fit continue in the next one."""
    return "\n\n\n".join(map(_text, paper_tables(rows)))


def _text(table: PaperTable) -> str:
    whole = len(table.cohorts)
    made = (_text_parts(table, at_once) for at_once in range(whole, 0, -1))
    fits = (text for text in made if max(map(len, text.splitlines())) <= WIDTH)
    return next(fits, _text_parts(table, 1))


def _text_parts(table: PaperTable, at_once: int) -> str:
    parts = []
    for start in range(0, len(table.cohorts), at_once):
        part = table.only(table.cohorts[start : start + at_once])
        last = start + at_once >= len(table.cohorts)
        told = table.caption if last else ("Other cohorts: see the next table.",)
        cells = _cells(part, spread=False, overall=last and len(table.cohorts) > 1)
        regimes = [line.row.regime for line in table.lines]
        parts.append(text_table(table.title, cells, regimes, told, folded=True))
    return "\n\n\n".join(parts)


def as_github(rows: Sequence[Row]) -> str:
    """Tables with the std over folds."""
    return "\n\n".join(
        github_table(table.title, _cells(table, spread=True), table.caption)
        for table in paper_tables(rows)
    )


def as_latex(rows: Sequence[Row]) -> str:
    """Floats with booktabs, best bold and second underlined in every column."""
    made = [_latex(table) for table in paper_tables(rows)]
    return "\n\n".join([NEEDS, *made]) if made else ""


def _latex(table: PaperTable) -> str:
    cells = _without(_cells(table, spread=True), "missing")
    front = [""] * (1 + len(table.modalities))
    several = len(table.cohorts) > 1
    emphasis = [
        [
            *front,
            *(each.emphasis if each else "" for each in line.cells),
            *[line.overall_emphasis] * several,
        ]
        for line in table.lines
    ]
    return latex_table(
        f"C-index: {table.title}. {_counts(table)}",
        cells,
        [missing_at_test(line.row.regime) for line in table.lines],
        emphasis,
        table.caption,
    )


def as_csv(rows: Sequence[Row]) -> str:
    """One line per method and regime, a column per cohort; empty where there is no number."""
    tables = paper_tables(rows)
    modalities = dict.fromkeys(name for table in tables for name in table.modalities)
    cohorts = dict.fromkeys(name for table in tables for name in table.cohorts)
    text = io.StringIO()
    header = ["source", *_SHARED, *modalities, *cohorts, "overall", "mark"]
    writer = csv.DictWriter(text, header, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(_record(table, line) for table in tables for line in table.lines)
    return text.getvalue()


def _record(table: PaperTable, line: PaperLine) -> dict[str, str | float]:
    record: dict[str, str | float] = {"source": line.row.about.source, "mark": line.star}
    record |= {name: getattr(line.row, name) for name in _SHARED}
    record |= dict(zip(table.modalities, (_WORDS[mark] for mark in line.marks), strict=True))
    for name, each in zip(table.cohorts, line.cells, strict=True):
        if each is not None and each.row.scored:
            record[name] = each.row.c_index
    if math.isfinite(line.overall):
        record["overall"] = line.overall
    return record


def _cells(table: PaperTable, *, spread: bool, overall: bool | None = None) -> Cells:
    with_overall = len(table.cohorts) > 1 if overall is None else overall
    header = ["method", *table.modalities, "missing", *table.cohorts, *[OVERALL] * with_overall]
    body = []
    for line in table.lines:
        row = line.row
        numbers = [c_index(each.row, spread=spread) if each else "" for each in line.cells]
        mean = f"{line.overall:.{DECIMALS}f}{line.star}" if math.isfinite(line.overall) else NONE
        body.append([row.name, *line.marks, row.regime, *numbers, *[mean] * with_overall])
    return with_notes(header, body, [_notes(table, line) for line in table.lines])


def _notes(table: PaperTable, line: PaperLine) -> list[str]:
    """Notes of a line's cells; those that are not said of all name their cohort."""
    whose: dict[str, list[str]] = defaultdict(list)
    for name, each in zip(table.cohorts, line.cells, strict=True):
        for note in each.notes if each else ():
            whose[note].append(name)
    there = len(line.rows)
    return [
        note if len(names) == there else f"{', '.join(names)}: {note}"
        for note, names in whose.items()
    ]


def _without(cells: Cells, column: str) -> Cells:
    at = cells.header.index(column)
    header = cells.header[:at] + cells.header[at + 1 :]
    body = tuple(line[:at] + line[at + 1 :] for line in cells.body)
    return replace(cells, header=header, body=body)


def _counts(table: PaperTable) -> str:
    """Patients and deaths of every cohort."""
    told = []
    for at, name in enumerate(table.cohorts):
        rows = [cell.row for line in table.lines if (cell := line.cells[at]) is not None]
        whole = max(rows, key=lambda row: row.n)
        told.append(f"{name} ({whole.n} patients, {whole.events} deaths)")
    return ", ".join(told) + "."
