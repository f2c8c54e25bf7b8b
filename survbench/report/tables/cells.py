"""A board as text cells: its columns, and its notes by letter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from survbench.report.row import Row
from survbench.report.tables.board import DECIMALS, Board, Column, Line
from survbench.report.tables.caption import DAGGER, NONE, SIGNIFICANT
from survbench.score.predictions import Estimate

_SMALL_P = 0.001  # smaller ones are shown with an exponent
_LEFT = ("method", "missing", "note")


@dataclass(frozen=True)
class Cells:
    """Text of a table and its lettered notes.

    Parameters
    ----------
    header : tuple of str
        Names of the columns.
    body : tuple of tuple of str
        Cells of every line.
    notes : mapping of text to letter
        Notes in the order of their letters.
    """

    header: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    notes: Mapping[str, str]

    @property
    def alignment(self) -> list[str]:
        """Words to the left, numbers to the right."""
        return ["left" if name in _LEFT else "right" for name in self.header]


def cells_of(board: Board, columns: Sequence[Column]) -> Cells:
    """Text of a board's table; published rows show what their source gives."""
    if all(line.row.about.source for line in board.lines):
        columns = PUBLISHED
    header = [name for name, _ in columns]
    body = [[shown(line) for _, shown in columns] for line in board.lines]
    return with_notes(header, body, [line.notes for line in board.lines])


def with_notes(
    header: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[Iterable[str]]
) -> Cells:
    """Cells with a last column for the letters of each line's notes, where there is any."""
    labels: dict[str, str] = {}
    for told in notes:
        for note in told:
            labels.setdefault(note, _letters(len(labels)))
    if not labels:
        return Cells(tuple(header), tuple(map(tuple, body)), labels)
    noted = [
        (*line, " ".join(labels[note] for note in told))
        for line, told in zip(body, notes, strict=True)
    ]
    return Cells((*header, "note"), tuple(noted), labels)


def c_index(row: Row, *, spread: bool = True) -> str:
    """C-index with its std over folds, dagger and star; a dash where there is none."""
    if not row.scored:
        return NONE
    std = row.c_index_std
    shown = f" ± {std:.{DECIMALS}f}" if spread and math.isfinite(std) else ""
    made = row.about.comparison
    dagger = DAGGER if made is not None and made.p_holm < SIGNIFICANT else ""
    return f"{row.c_index:.{DECIMALS}f}{shown}{dagger}{row.mark}"


def p_value(value: float) -> str:
    """Three decimals, an exponent where it is small, a dash where there is none."""
    if not math.isfinite(value):
        return NONE
    return f"{value:.3f}" if value >= _SMALL_P else f"{value:.0e}"


def _interval(line: Line) -> str:
    row = line.row
    if not math.isfinite(row.c_index_low):
        return NONE
    return f"[{row.c_index_low:.{DECIMALS}f}, {row.c_index_high:.{DECIMALS}f}]"


def _ratio(estimate: Estimate) -> str:
    """Two decimals with the interval; a dash where there is none."""
    if not math.isfinite(estimate.value):
        return NONE
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _score(name: str) -> Callable[[Line], str]:
    def shown(line: Line) -> str:
        value = float(line.row.values[name])
        return f"{value:.3f}" if math.isfinite(value) else NONE

    return shown


def _p_value(name: str) -> Callable[[Line], str]:
    return lambda line: p_value(float(line.row.values[name]))


def _letters(number: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    before, last = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("a") + last)


_RANK: Column = ("#", lambda line: line.rank)
_METHOD: Column = ("method", lambda line: line.row.method)
_NAME: Column = ("method", lambda line: line.row.name)
_FIRST: tuple[Column, ...] = (
    ("missing", lambda line: line.row.regime),
    ("C-index", lambda line: c_index(line.row)),
    ("[low, high]", _interval),
    ("Uno C", _score("uno_c")),
)
NARROW: tuple[Column, ...] = (
    _RANK,
    _METHOD,
    *_FIRST,
    ("log-rank", _p_value("logrank_p")),
    ("n", lambda line: str(line.row.n)),
)
WIDE: tuple[Column, ...] = (
    _RANK,
    _NAME,
    *_FIRST,
    ("AUC", _score("auc")),
    ("IBS", _score("ibs")),
    ("log-rank", _p_value("logrank_p")),
    ("stratified", _p_value("logrank_p_stratified")),
    ("hazard ratio", lambda line: _ratio(line.row.about.hazard_ratio)),
    ("n", lambda line: str(line.row.n)),
    ("events", lambda line: str(line.row.events)),
    ("left out", lambda line: str(line.row.left_out)),
)
PUBLISHED: tuple[Column, ...] = (_METHOD, *_FIRST[:2])
