"""Boards, figures and the ledger as the templates show them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from survbench.bench.truth import TRUTH
from survbench.report.leaderboard import Scored
from survbench.report.row import CONTROLS, Row
from survbench.report.site.details import Details, details_of
from survbench.report.site.figure import Figure, figure_file
from survbench.report.tables.board import Board, Line
from survbench.report.tables.caption import NONE
from survbench.report.tables.cells import WIDE, Cells, cells_of

KINDS = {
    "measured": "measured here, real patients",
    "simulated": "measured here, simulated patients",
    "published": "published elsewhere, not measured here",
}
_REGIME = "missing"  # stands above its rows, not in a column
_WORDY = 32  # characters from which the text of a cell is wrapped
_STEP = 0.1  # the axis of intervals begins and ends at a multiple of it


@dataclass(frozen=True)
class Axis:
    """C-index range that the drawn intervals of a board share."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Place on the axis, 0 to 100."""
        return round(100 * (value - self.low) / (self.high - self.low), 1)


@dataclass(frozen=True)
class RowView:
    """A row of a board: its cells by column, tags, drawn interval, details and figures."""

    id: str
    row: Row
    emphasis: str
    cells: tuple[tuple[str, str], ...]  # (column, text)
    letters: tuple[str, ...]
    tags: tuple[str, ...]
    search: str
    details: Details | None
    figures: tuple[tuple[Figure, str], ...]  # (figure, its file)

    @property
    def control(self) -> bool:
        """Whether it stays on top however the board is sorted."""
        return self.row.method in CONTROLS

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval to draw."""
        return math.isfinite(self.row.c_index_low)


@dataclass(frozen=True)
class BoardView:
    """A board: its header, rows regime by regime, notes, and what its table must say."""

    id: str
    title: str
    cohort: str
    preset: str
    kind: str
    header: tuple[tuple[str, bool], ...]  # (column, whether it holds numbers)
    axis: Axis | None
    regimes: tuple[tuple[str, tuple[RowView, ...]], ...]
    notes: tuple[tuple[str, str], ...]  # (letter, text)
    told: tuple[str, ...]

    @property
    def rows(self) -> list[RowView]:
        """Rows of all regimes."""
        return [row for _, rows in self.regimes for row in rows]


@dataclass(frozen=True)
class Material:
    """What rows are illustrated with, by <cohort>/<setting>/<regime>[/<kind>]."""

    entries: Mapping[tuple[str, ...], Scored]
    figures: Mapping[str, Figure]
    recovered: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(
        cls,
        entries: Iterable[Scored],
        figures: Mapping[str, Figure],
        recovered: Mapping[str, Mapping[str, float]],
    ) -> Material:
        """Material of these entries."""
        return cls({_identity(entry.row): entry for entry in entries}, figures, recovered)

    def details(self, row: Row) -> Details | None:
        """Details of a row; None where it was not measured here."""
        entry = self.entries.get(_identity(row))
        return None if entry is None else details_of(entry, self.recovered.get(row_key(row), {}))

    def figures_of(self, row: Row) -> tuple[tuple[Figure, str], ...]:
        """Figures of a row with their files, by kind."""
        prefix = f"{row_key(row)}/"
        keys = sorted(key for key in self.figures if key.startswith(prefix) and row.setting)
        return tuple((self.figures[key], figure_file(key)) for key in keys)


def row_key(row: Row) -> str:
    """What figures and diagnostics of a row are filed under."""
    return f"{row.cohort}/{row.setting}/{row.regime}"


def board_view(board: Board, material: Material) -> BoardView:
    """A board for the template."""
    first, cells = board.lines[0].row, cells_of(board, WIDE)
    board_id = f"board-{_digest(board.title, first.split, first.cohort_hash)}"
    rows = {
        id(line): _row_view(board_id, line, cells, texts, material)
        for line, texts in zip(board.lines, cells.body, strict=True)
    }
    return BoardView(
        id=board_id,
        title=board.title,
        cohort=first.cohort,
        preset=board.preset,
        kind=_kind(first),
        header=tuple(
            (name, how == "right")
            for name, how in zip(cells.header, cells.alignment, strict=True)
            if name not in (_REGIME, "note")
        ),
        axis=_axis(line.row for line in board.lines),
        regimes=tuple(
            (regime, tuple(rows[id(line)] for line in lines)) for regime, lines in board.regimes
        ),
        notes=tuple((letter, note) for note, letter in cells.notes.items()),
        told=tuple(board.told(WIDE)),
    )


def _row_view(
    board_id: str, line: Line, cells: Cells, texts: Sequence[str], material: Material
) -> RowView:
    row = line.row
    named = zip(cells.header, texts, strict=True)
    search = [row.method, row.changed, row.setting, row.cohort, row.preset, *line.notes]
    return RowView(
        id=f"row-{_digest(board_id, row.method, row.setting, row.regime)}",
        row=row,
        emphasis=line.emphasis,
        cells=tuple(pair for pair in named if pair[0] not in (_REGIME, "note")),
        letters=tuple(cells.notes[note] for note in line.notes),
        tags=_tags(row),
        search=" ".join(search).lower(),
        details=material.details(row),
        figures=material.figures_of(row),
    )


def _tags(row: Row) -> tuple[str, ...]:
    tags = {
        "control": row.method in CONTROLS,
        "simulated truth": row.method in TRUTH,
        "changed config": bool(row.changed),
        "partial": row.scored and not row.about.whole,
        "under-fitted": any(flag.startswith("under-fitted") for flag in row.about.flags),
    }
    return tuple(tag for tag, holds in tags.items() if holds)


def _kind(row: Row) -> str:
    if row.about.source:
        return "published"
    return "simulated" if row.about.simulated else "measured"


def _axis(rows: Iterable[Row]) -> Axis | None:
    bounds = [
        bound
        for row in rows
        if math.isfinite(row.c_index_low)
        for bound in (row.c_index_low, row.c_index_high)
    ]
    if not bounds:
        return None
    low, high = math.floor(min(bounds) / _STEP) * _STEP, math.ceil(max(bounds) / _STEP) * _STEP
    return Axis(round(low, 1), round(max(high, low + _STEP), 1))


def _identity(row: Row) -> tuple[str, ...]:
    return row.cohort, row.method, row.setting, row.regime


def _digest(*parts: str) -> str:
    """Short name of anything, safe in an address."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


# -- the ledger


@dataclass(frozen=True)
class LedgerColumn:
    """A column of the ledger: its label, whether it holds numbers or sentences, and whose."""

    label: str
    numeric: bool
    wordy: bool
    whose: str

    @property
    def classes(self) -> str:
        """Names its cells have in the style sheet."""
        words = ("number" if self.numeric else "", "words" if self.wordy else "", self.whose)
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class LedgerView:
    """Published beside measured."""

    header: tuple[LedgerColumn, ...]
    lines: tuple[tuple[str, ...], ...]


def ledger_view(ledger: Iterable[Mapping[str, object]]) -> LedgerView:
    """Ledger for the template; its columns are the keys, in the order they first appear."""
    rows = list(ledger)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns = {key: [row.get(key) for row in rows] for key in keys}
    texts = {key: [_shown(value) for value in values] for key, values in columns.items()}
    header = tuple(
        LedgerColumn(
            label=key.replace("_", " "),
            numeric=_all_numbers(columns[key]),
            wordy=max(map(len, texts[key])) > _WORDY,
            whose=_whose(key),
        )
        for key in keys
    )
    return LedgerView(header, tuple(zip(*texts.values(), strict=True)))


def _whose(key: str) -> str:
    return next((kind for kind in ("published", "measured") if key.startswith(kind)), "")


def _all_numbers(values: Iterable[object]) -> bool:
    known = [value for value in values if value not in (None, "")]
    return bool(known) and all(isinstance(value, (int, float)) for value in known)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else NONE
    return NONE if value is None else str(value)
