"""Leaderboard rows in boards: what may be read against each other, ranked regime by regime."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from survbench.bench.truth import TRUTH
from survbench.report.row import Row, board_key, rank_order
from survbench.report.tables.caption import Sentence, caption, listed, plain

DECIMALS = 3  # of a C-index as tables show it
BEST, SECOND = "best", "second"


@dataclass(frozen=True)
class Line:
    """A row as a table shows it.

    Parameters
    ----------
    rank : str
        Place among the ranked rows of its regime; empty where it is not ranked.
    row : Row
        The numbers.
    notes : tuple of str
        What must be said of this row.
    emphasis : str
        "best", "second" or empty, among the ranked rows of its regime; see `emphasis_of`.
    """

    rank: str
    row: Row
    notes: tuple[str, ...]
    emphasis: str = ""


Column = tuple[str, Callable[[Line], str]]


@dataclass(frozen=True)
class Board:
    """Rows that may be read against each other, with all that a table must say of them.

    Parameters
    ----------
    title : str
        Cohort, population, preset and training regime.
    caption : tuple of (column or None, str)
        Sentences on patients, folds, seeds and what every sign and column means; those about a
        column are for tables that show it.
    lines : tuple of Line
        Controls first, then best first, then changed configs, regime by regime.
    preset : str
        Whose board it is; a row may belong to the boards of several presets.
    """

    title: str
    caption: tuple[Sentence, ...]
    lines: tuple[Line, ...]
    preset: str = ""

    @property
    def regimes(self) -> list[tuple[str, tuple[Line, ...]]]:
        """Lines by what is missing at test, in their order."""
        groups = groupby(self.lines, key=lambda line: line.row.regime)
        return [(regime, tuple(lines)) for regime, lines in groups]

    def told(self, columns: Sequence[Column]) -> list[str]:
        """Sentences of the caption that a table with these columns needs."""
        shown = {name for name, _ in columns}
        return [text for column, text in self.caption if column is None or column in shown]


def boards(rows: Sequence[Row]) -> list[Board]:
    """Boards of the rows; a row whose config is that of several presets stands on each board.

    No board is made for a preset that nobody asked for.
    """
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[board_key(row)].append(row)
    for row in rows:
        for preset in set(row.about.presets) - {row.preset}:
            key = board_key(replace(row, preset=preset))
            if key in groups:
                groups[key].append(row)
    return [_board(key[5], sorted(group, key=rank_order)) for key, group in sorted(groups.items())]


def emphasis_of(values: Iterable[float]) -> list[str]:
    """Which numbers are best and second as a table shows them; NaN takes no part.

    Numbers that look the same are emphasised alike, and a number alone is not emphasised.
    """
    shown = [round(value, DECIMALS) for value in values]
    places = sorted({value for value in shown if math.isfinite(value)}, reverse=True)
    names = dict(zip(places[:2], (BEST, SECOND), strict=False)) if len(places) > 1 else {}
    return [names.get(value, "") for value in shown]


def _board(preset: str, rows: Sequence[Row]) -> Board:
    seeds = max((row.about.seeds for row in rows), key=len)
    twice = {what for what, count in Counter(map(_what, rows)).items() if count > 1}
    lines: list[Line] = []
    for _, group in groupby(rows, key=lambda row: row.regime):
        members, rank = list(group), 0
        emphasis = emphasis_of(row.c_index if row.ranked else math.nan for row in members)
        for row, how in zip(members, emphasis, strict=True):
            rank += row.ranked
            notes = _notes(row, seeds, twice=_what(row) in twice)
            lines.append(Line(str(rank) if row.ranked else "", row, notes, how))
    return Board(_title(preset, rows), tuple(caption(rows, seeds)), tuple(lines), preset)


def _what(row: Row) -> tuple[str, str, str]:
    return row.method, row.changed, row.regime


def _notes(row: Row, seeds: Sequence[int], *, twice: bool) -> tuple[str, ...]:
    notes = [row.reason, *row.about.flags, row.changed and f"changed: {row.changed}"]
    if row.about.seeds != seeds and row.method not in TRUTH:
        notes.append(f"seeds {listed(row.about.seeds)} only")
    if twice:
        notes.append(f"setting {row.setting}")
    return tuple(plain(note) for note in notes if note)


def _title(preset: str, rows: Sequence[Row]) -> str:
    row = rows[0]
    if row.about.source:
        return f"{row.cohort}: published in {row.about.source}, not measured here"
    if not preset:
        return f"{row.cohort}: no fit was finished"
    kind = " (simulated)" if row.about.simulated else ""
    shared = set.intersection(*(set(each.about.presets) for each in rows)) - {preset}
    same = f" (the same as {', '.join(sorted(shared))})" if shared else ""
    trained = "nothing" if row.train_regime == "none" else row.train_regime
    return (
        f"{row.cohort}{kind}: {row.population} patients, preset {preset}{same}, "
        f"{trained} missing in training"
    )
