"""Tables in LaTeX with booktabs: best bold, second underlined, small print below."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from survbench.report.row import Row
from survbench.report.tables.board import BEST, SECOND, Board, boards
from survbench.report.tables.caption import NONE
from survbench.report.tables.cells import WIDE, Cells, cells_of

NEEDS = "% needs \\usepackage{booktabs}"
_IN_CAPTION = ("missing", "events", "left out")  # told by rules and caption; a page is narrow
_COLUMNS = tuple(column for column in WIDE if column[0] not in _IN_CAPTION)
_EMPHASIS = "Best ranked number of a column in bold, second underlined, as shown."
_STRONG = {BEST: r"\textbf{%s}", SECOND: r"\underline{%s}", "": "%s"}
_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': "''",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "●": r"$\bullet$",
    "○": r"$\circ$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex(rows: Sequence[Row]) -> str:
    """Boards one below the other, each a float of its own."""
    made = [_board(board) for board in boards(rows)]
    return "\n\n".join([NEEDS, *made]) if made else ""


def latex_table(
    caption: str,
    cells: Cells,
    blocks: Sequence[str],
    emphasis: Sequence[Sequence[str]],
    told: Iterable[str],
) -> str:
    """A float: caption above, table, notes and small print below.

    Parameters
    ----------
    caption : str
        What the table shows, with its counts.
    cells : Cells
        The table.
    blocks : sequence of str
        Heading of the block each line belongs to; a new one begins where it changes.
    emphasis : sequence of sequences of str
        "best", "second" or empty for the cells of each line, from the first one on.
    told : iterable of str
        Small print.
    """
    body: list[str] = []
    for position, (line, strong) in enumerate(zip(cells.body, emphasis, strict=True)):
        if position == 0 or blocks[position] != blocks[position - 1]:
            body.extend([r"\midrule"] * (position > 0))
            heading = rf"\textit{{{escaped(blocks[position])}}}"
            body.append(rf"\multicolumn{{{len(cells.header)}}}{{l}}{{{heading}}} \\")
        body.append(_line(line, strong))
    align = "".join(name[0] for name in cells.alignment)
    if any(how for line in emphasis for how in line):
        told = [*told, _EMPHASIS]
    notes = [f"{label}: {note.rstrip('.')}." for note, label in cells.notes.items()]
    small = [escaped(text) for text in (" ".join(told), " ".join(notes)) if text]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(caption)}}}",
            r"\footnotesize",
            r"\setlength{\tabcolsep}{3pt}",
            rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}",
            r"\toprule",
            _line(cells.header, ()),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
            r"\smallskip",
            r"\begin{minipage}{\linewidth}",
            r"\scriptsize",
            "\n\n".join(small),
            r"\end{minipage}",
            r"\end{table}",
        ]
    )


def missing_at_test(regime: str) -> str:
    """Heading of the lines of a regime."""
    return f"{'nothing' if regime == 'none' else regime} missing at test"


def _heading(row: Row) -> str:
    return missing_at_test(row.regime) + (", another config" if row.changed else "")


def escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    made = "".join(_SIGNS.get(character, character) for character in text)
    return re.sub("-(?=-)", "-{}", made)  # two hyphens would be joined to a dash


def _board(board: Board) -> str:
    cells = cells_of(board, _COLUMNS)
    counts, *told = board.told(_COLUMNS)
    at = cells.header.index("C-index")
    return latex_table(
        f"{board.title}. {counts}",
        cells,
        [_heading(line.row) for line in board.lines],
        [[*[""] * at, line.emphasis] for line in board.lines],
        told,
    )


def _line(cells: Sequence[str], emphasis: Sequence[str]) -> str:
    """Cells joined; each in braces, since one that begins with [ would be an option of the end."""
    strong = [*emphasis, *[""] * (len(cells) - len(emphasis))]
    made = (_cell(cell, how) for cell, how in zip(cells, strong, strict=True))
    return " & ".join(made) + r" \\"


def _cell(cell: str, how: str) -> str:
    if not cell:
        return ""
    number = re.match(r"[^*†±]*[^*†± ]", cell) if how else None
    if number is None:
        return f"{{{'--' if cell == NONE else escaped(cell)}}}"
    rest = cell[number.end() :]
    return f"{{{_STRONG[how] % escaped(number[0])}{escaped(rest)}}}"
