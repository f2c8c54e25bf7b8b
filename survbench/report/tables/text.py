"""Tables for a terminal of a hundred columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from tabulate import SEPARATING_LINE, tabulate

from survbench.report.row import Row
from survbench.report.tables.board import Board, boards
from survbench.report.tables.cells import NARROW, Cells, cells_of

WIDTH = 100
_NAME_WIDTH = 9  # of a column whose name is folded


def text(rows: Sequence[Row]) -> str:
    """Boards one below the other."""
    return "\n\n\n".join(map(_board, boards(rows)))


def text_table(
    title: str,
    cells: Cells,
    blocks: Sequence[object],
    told: Iterable[str],
    *,
    folded: bool = False,
) -> str:
    """Title, table with a rule between blocks, notes and caption, all within the width.

    Parameters
    ----------
    title : str
        What stands above the table.
    cells : Cells
        The table.
    blocks : sequence
        What each line belongs to; where it changes, a rule is drawn.
    told : iterable of str
        Sentences below the table.
    folded : bool
        Whether long names of columns are folded, and columns no wider than they must be.
    """
    body: list[Sequence[str] | str] = []
    for position, line in enumerate(cells.body):
        if position and blocks[position] != blocks[position - 1]:
            body.append(SEPARATING_LINE)
        body.append(line)
    # tabulate pads a header by two blanks, a line of the body by none
    table = tabulate(
        [*_folded(cells.header), SEPARATING_LINE, *body] if folded else body,
        () if folded else cells.header,
        tablefmt="simple",
        colalign=cells.alignment,
        disable_numparse=True,
    )
    notes = [f"{label}: {note}" for note, label in cells.notes.items()]
    small = [textwrap.fill(each, WIDTH, subsequent_indent="  ") for each in [*notes, *told]]
    return "\n".join([textwrap.fill(title, WIDTH), "", table, "", *small])


def _folded(header: Sequence[str]) -> list[tuple[str, ...]]:
    """Names of columns in lines of a few letters, broken after _ or - where they can be."""
    columns = []
    for name in header:
        lines = [""]
        for part in re.findall(r"[^_-]+[_-]*|[_-]+", name):
            if lines[-1] and len(lines[-1] + part) > _NAME_WIDTH:
                lines.append("")
            lines[-1] += part
        columns.append(lines)
    return list(zip_longest(*columns, fillvalue=""))


def _board(board: Board) -> str:
    blocks = [(line.row.regime, bool(line.row.changed)) for line in board.lines]
    return text_table(board.title, cells_of(board, NARROW), blocks, board.told(NARROW))
