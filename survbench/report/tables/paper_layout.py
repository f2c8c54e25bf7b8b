"""Tables as papers print them: methods by cohorts, and what each method has at test."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from survbench.cohort import Regime
from survbench.report.row import CONTROLS, Row
from survbench.report.tables.board import Board, Line, boards, emphasis_of

USED, LACKING, UNUSED = "●", "○", ""
OVERALL = "Overall"


@dataclass(frozen=True)
class PaperLine:
    """One method under one regime, over cohorts.

    Parameters
    ----------
    row : Row
        One of its rows: the method, regime and config are those of all.
    marks : tuple of str
        For each modality: the method reads it and has it, lacks it at test, or does not read it.
    cells : tuple of (Line or None)
        Its line on the board of each cohort; None where it was not run.
    overall : float
        Unweighted mean over cohorts; NaN unless all cohorts are there, with all their folds.
    overall_emphasis : str
        "best", "second" or empty.
    """

    row: Row
    marks: tuple[str, ...]
    cells: tuple[Line | None, ...]
    overall: float = math.nan
    overall_emphasis: str = ""

    @property
    def rows(self) -> list[Row]:
        """Rows of the cohorts that are there."""
        return [line.row for line in self.cells if line is not None]

    @property
    def star(self) -> str:
        """The mark of a line in which something was filled in anywhere."""
        return max((row.mark for row in self.rows), default="")


@dataclass(frozen=True)
class PaperTable:
    """Methods by cohorts under one preset, population and training regime.

    Parameters
    ----------
    title : str
        What the cohorts share.
    cohorts, modalities : tuple of str
        Columns.
    lines : tuple of PaperLine
        Regime by regime, controls first, then the best.
    caption : tuple of str
        Sentences below; those about one cohort begin with its name.
    """

    title: str
    cohorts: tuple[str, ...]
    modalities: tuple[str, ...]
    lines: tuple[PaperLine, ...]
    caption: tuple[str, ...]

    def only(self, cohorts: Sequence[str]) -> PaperTable:
        """The same table with some of its columns."""
        at = [self.cohorts.index(name) for name in cohorts]
        lines = [replace(line, cells=tuple(line.cells[i] for i in at)) for line in self.lines]
        return replace(self, cohorts=tuple(cohorts), lines=tuple(lines))


def paper_tables(rows: Sequence[Row]) -> list[PaperTable]:
    """Tables of the rows; regimes of whole modalities apart from those of shares of patients."""
    groups: dict[tuple[str, ...], list[Board]] = defaultdict(list)
    for board in boards(rows):
        for shares in (False, True):
            lines = tuple(line for line in board.lines if ("@" in line.row.regime) is shares)
            if lines:
                row = lines[0].row
                shared = (row.about.source, row.population, board.preset, row.train_regime)
                groups[*shared, str(shares)].append(replace(board, lines=lines))
    return [_table(group) for _, group in sorted(groups.items())]


def _table(group: Sequence[Board]) -> PaperTable:
    names = _column_names([board.lines[0].row for board in group])
    most = max((line.row for board in group for line in board.lines), key=_modalities)
    modalities = most.about.modalities
    lines = [_line(cells, len(group), modalities) for cells in _together(group)]
    ordered = _emphasised(sorted(lines, key=lambda line: _order(line, group)))
    title = group[0].title.partition(": ")[2]
    return PaperTable(title, names, modalities, ordered, tuple(_told(group, names)))


def _modalities(row: Row) -> int:
    return len(row.about.modalities)


def _together(group: Sequence[Board]) -> list[dict[int, Line]]:
    """Lines of one method, config and regime by position of their board.

    A second setting of the same name on a board stands in a line of its own.
    """
    found: dict[tuple[str, ...], dict[int, Line]] = {}
    for at, board in enumerate(group):
        for line in board.lines:
            key: tuple[str, ...] = (line.row.regime, line.row.method, line.row.changed)
            if at in found.get(key, {}):
                key = (*key, line.row.setting)
            found.setdefault(key, {})[at] = line
    return list(found.values())


def _column_names(rows: Sequence[Row]) -> tuple[str, ...]:
    """Cohorts, with their folds and data where the name alone is not enough."""
    ways = [
        [row.cohort for row in rows],
        [f"{row.cohort} {row.split}" for row in rows],
        [f"{row.cohort} {row.split} {row.cohort_hash[:6]}" for row in rows],
    ]
    return tuple(next((way for way in ways if len(set(way)) == len(way)), ways[-1]))


def _line(cells: Mapping[int, Line], cohorts: int, modalities: Sequence[str]) -> PaperLine:
    rows = [line.row for line in cells.values()]
    uses = {name for row in rows for name in row.about.uses}
    lacks = {name for name, _ in Regime.parse(rows[0].regime).rates}
    marks = [
        (LACKING if name in lacks else USED) if name in uses else UNUSED for name in modalities
    ]
    whole = [row.c_index for row in rows if row.scored and row.about.whole]
    overall = float(np.mean(whole)) if len(whole) == cohorts else math.nan
    placed = tuple(cells.get(at) for at in range(cohorts))
    return PaperLine(rows[0], tuple(marks), placed, overall)


def _order(line: PaperLine, group: Sequence[Board]) -> tuple[object, ...]:
    regimes = list(dict.fromkeys(name for board in group for name, _ in board.regimes))
    method = line.row.method
    control = CONTROLS.index(method) if method in CONTROLS else len(CONTROLS)
    values = [row.c_index for row in line.rows if row.scored]
    best = line.overall if math.isfinite(line.overall) else float(np.mean(values or [0.0]))
    place = (control, not math.isfinite(line.overall), not values, -best)
    changed = line.row.changed
    return (regimes.index(line.row.regime), bool(changed), *place, method, changed)


def _emphasised(lines: Sequence[PaperLine]) -> tuple[PaperLine, ...]:
    """Lines with the best and the second Overall of each regime."""
    made: dict[int, str] = {}
    for regime in dict.fromkeys(line.row.regime for line in lines):
        at = [i for i, line in enumerate(lines) if line.row.regime == regime]
        values = [
            lines[i].overall if all(row.ranked for row in lines[i].rows) else math.nan for i in at
        ]
        made |= dict(zip(at, emphasis_of(values), strict=True))
    return tuple(replace(line, overall_emphasis=made[i]) for i, line in enumerate(lines))


def _told(group: Sequence[Board], names: Sequence[str]) -> Iterable[str]:
    """Sentences of the boards, each once; of whom, where it is not said of all."""
    whose: dict[str, list[str]] = defaultdict(list)
    for board, name in zip(group, names, strict=True):
        for sentence in board.told(()):
            whose[sentence].append(name)
    for sentence, cohorts in whose.items():
        everywhere = len(cohorts) == len(names)
        yield sentence if everywhere else f"{', '.join(cohorts)}: {sentence}"
    if len(names) > 1:
        yield (
            f"{OVERALL}: unweighted mean over cohorts, where all are there with all folds; "
            "empty: not run."
        )
    if any(line.row.about.modalities for board in group for line in board.lines):
        yield (
            f"{USED}: the method reads the modality; {LACKING}: reads it, but test patients lack "
            "it; blank: does not read it."
        )
