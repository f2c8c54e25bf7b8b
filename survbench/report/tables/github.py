"""Tables in GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from survbench.report.row import Row
from survbench.report.tables.board import boards
from survbench.report.tables.cells import WIDE, Cells, cells_of

_SPECIAL = re.compile(r"([\\|*_<>`\[\]#&~!])")


def github(rows: Sequence[Row]) -> str:
    """Boards one below the other."""
    return "\n\n".join(
        github_table(board.title, cells_of(board, WIDE), board.told(WIDE)) for board in boards(rows)
    )


def github_table(title: str, cells: Cells, told: Iterable[str]) -> str:
    """Heading, table, notes and caption; every text is shown as it is, whatever it holds."""
    table = tabulate(
        [[markdown(cell) for cell in line] for line in cells.body],
        [markdown(name) for name in cells.header],
        tablefmt="pipe",
        colalign=cells.alignment,
        disable_numparse=True,
    )
    notes = [f"- {label}: {markdown(note)}" for note, label in cells.notes.items()]
    listed = [*notes, ""] if notes else []
    parts = [f"### {markdown(title)}", "", table, "", *listed, markdown(" ".join(told))]
    return "\n".join(parts)


def markdown(text: str) -> str:
    """Text with every character escaped that Markdown or HTML would read."""
    return _SPECIAL.sub(r"\\\1", text)
