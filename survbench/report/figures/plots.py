"""Every figure of a kind that scored rows give."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from survbench.errors import ResultError, UnknownNameError
from survbench.report.figures.calibration import calibration
from survbench.report.figures.degradation import degradation
from survbench.report.figures.drawing import Drawing, file_name
from survbench.report.figures.forest import forest
from survbench.report.figures.kaplan_meier import km
from survbench.report.figures.km_grid import km_grid
from survbench.report.leaderboard import Scored
from survbench.report.row import Row
from survbench.report.tables.board import boards

Made = tuple[Drawing, str]  # and what tells it from another of the same name


def plots(kind: str, entries: Sequence[Scored]) -> list[Drawing]:
    """Figures of one kind, their names unique.

    Parameters
    ----------
    kind : str
        km, km-grid, degradation, calibration or forest.
    entries : sequence of Scored
        Rows with their predictions.

    Raises
    ------
    UnknownNameError
        There is no such kind.
    ResultError
        There is nothing to plot; the message says what is there.
    """
    if kind not in KINDS:
        raise UnknownNameError(
            kind="plot", name=kind, known=[*KINDS, "cost"], see="'survbench plot --help'"
        )
    made = list(KINDS[kind](entries))
    count = Counter(drawing.name for drawing, _ in made)
    named = [
        replace(drawing, name=f"{drawing.name}-{aside}") if count[drawing.name] > 1 else drawing
        for drawing, aside in made
    ]
    return [
        replace(drawing, name=f"{drawing.name}-{number}") if number else drawing
        for name in dict.fromkeys(drawing.name for drawing in named)
        for number, drawing in enumerate(each for each in named if each.name == name)
    ]


def _of_rows(draw: Callable[[Scored], Drawing]) -> Callable[[Sequence[Scored]], Iterable[Made]]:
    """One figure per row that has one; where none has, why the first has none."""

    def made(entries: Sequence[Scored]) -> list[Made]:
        drawn: list[Made] = []
        refused: list[ResultError] = []
        for entry in entries:
            try:
                drawn.append((draw(entry), file_name(_board_of(entry.row), entry.row.setting)))
            except ResultError as error:
                refused.append(error)
        if not drawn and refused:
            raise refused[0]
        return drawn

    return made


def _degradations(entries: Sequence[Scored]) -> Iterable[Made]:
    """One figure per board and modality."""
    there = {entry.row.regime for entry in entries if entry.folds}
    modalities = sorted(name for name in there if name != "none" and "@" not in name)
    if not modalities:
        told = ", ".join(sorted(there)) or "no predictions"
        msg = f"no degradation curve: these results have {told}; run with --missing P,G"
        raise ResultError(msg)
    found = False
    refused: list[ResultError] = []
    for group in _by_board(entries):
        for modality in modalities:
            try:
                drawing = degradation(group, modality)
            except ResultError as error:
                refused.append(error)
                continue
            found = True
            yield drawing, _board_of(group[0].row)
    if not found:
        raise refused[0]


def _forests(entries: Sequence[Scored]) -> Iterable[Made]:
    groups = [group for group in _by_board(entries) if any(e.row.scored for e in group)]
    for group in groups or _by_board(entries):
        yield forest([entry.row for entry in group]), _board_of(group[0].row)


def _grids(entries: Sequence[Scored]) -> Iterable[Made]:
    """One grid over all cohorts for each population, preset and training regime.

    Changed configs are left out where there are others.
    """
    groups: dict[str, list[Scored]] = defaultdict(list)
    for group in _by_board(entries):
        groups[_board_of(group[0].row)].extend(group)
    for aside, members in groups.items():
        plain = [entry for entry in members if not entry.row.changed]
        yield km_grid(plain or members), aside


def _by_board(entries: Sequence[Scored]) -> list[list[Scored]]:
    """Rows of each board, as its preset."""
    of_row = {id(entry.row): entry for entry in entries}
    return [
        [
            replace(entry, row=replace(entry.row, preset=board.preset))
            for entry in (of_row[id(line.row)] for line in board.lines)
        ]
        for board in boards([entry.row for entry in entries])
    ]


def _board_of(row: Row) -> str:
    return file_name(row.population, row.preset, row.train_regime)


KINDS: Mapping[str, Callable[[Sequence[Scored]], Iterable[Made]]] = {
    "km": _of_rows(km),
    "km-grid": _grids,
    "degradation": _degradations,
    "calibration": _of_rows(calibration),
    "forest": _forests,
}
