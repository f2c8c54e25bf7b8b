"""Leaderboard rows as people and scripts read them: text, github, latex, csv, json."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tabulate import SEPARATING_LINE, tabulate

from survbench.bench.truth import TRUTH
from survbench.errors import UnknownNameError
from survbench.report.row import FIELDS, UNRANKED, Row, board_key, rank_order

SCHEMA = 1
WIDTH = 100
NONE = "-"
SIGNIFICANT = 0.05
_DAGGER = "†"
_SMALL_P = 0.001  # smaller ones are shown with an exponent


@dataclass(frozen=True)
class Line:
    """A row as a table shows it."""

    rank: str
    row: Row
    notes: tuple[str, ...]


Column = tuple[str, Callable[[Line], str]]
Sentence = tuple[str | None, str]


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
        Controls first, then best first, regime by regime.
    """

    title: str
    caption: tuple[Sentence, ...]
    lines: tuple[Line, ...]

    def told(self, columns: Sequence[Column]) -> list[str]:
        """Sentences of the caption that a table with these columns needs."""
        shown = {name for name, _ in columns}
        return [text for column, text in self.caption if column is None or column in shown]


def render(rows: Sequence[Row], format: str = "text") -> str:
    """Rows in a format: text, github, latex, csv or json; ends with a newline.

    Raises
    ------
    UnknownNameError
        There is no such format.
    """
    if format not in FORMATS:
        see = "'survbench leaderboard --help'"
        raise UnknownNameError(kind="format", name=format, known=FORMATS, see=see)
    return FORMATS[format](rows).rstrip("\n") + "\n"


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


def _board(preset: str, rows: Sequence[Row]) -> Board:
    twice = {
        (row.method, row.regime)
        for row in rows
        if sum((row.method, row.regime) == (other.method, other.regime) for other in rows) > 1
    }
    seeds = max((row.about.seeds for row in rows), key=len)
    ranks: dict[str, int] = defaultdict(int)
    lines = []
    for row in rows:
        ranks[row.regime] += row.ranked
        notes = [row.reason, *row.about.flags, row.changed and f"changed: {row.changed}"]
        if row.about.seeds != seeds and row.method not in TRUTH:
            notes.append(f"seeds {_listed(row.about.seeds)} only")
        if (row.method, row.regime) in twice:
            notes.append(f"setting {row.setting}")
        rank = str(ranks[row.regime]) if row.ranked else ""
        lines.append(Line(rank, row, tuple(_plain(note) for note in notes if note)))
    return Board(_title(preset, rows), tuple(_caption(rows, seeds)), tuple(lines))


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


def _caption(rows: Sequence[Row], seeds: Sequence[int]) -> Iterable[Sentence]:
    if rows[0].about.source:
        yield None, "Published numbers, mean ± std as the source prints them; not measured here."
        yield None, f"{NONE}: the source gives no number."
        return
    yield from ((None, text) for text in _about_patients(rows, seeds))
    yield from _about_numbers(rows)
    yield from _about_gaps(rows)
    yield from ((None, text) for text in _about_signs(rows))


def _about_patients(rows: Sequence[Row], seeds: Sequence[int]) -> Iterable[str]:
    whole = max(rows, key=lambda row: row.n)
    kind = "Simulated cohort, measured here" if whole.about.simulated else "Measured here"
    yield (
        f"{kind}: {whole.n} test patients, {whole.events} deaths, {whole.folds} folds "
        f"({whole.split}), seeds {_listed(seeds) or 'unknown'}, data {whole.cohort_hash[:12]}."
    )
    yield from dict.fromkeys(_sentence(note) for row in rows for note in row.about.cohort_notes)
    left_out: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        left_out[row.regime].add(row.left_out)
    told = [
        f"{' or '.join(map(str, sorted(counts)))} with {regime} missing"
        for regime, counts in left_out.items()
        if any(counts)
    ]
    absent = max(row.about.absent_cases for row in rows)
    missing = f"; cases of the split that the cohort lacks: {absent}" if absent else ""
    yield f"Patients left out: {', '.join(told) or 'none'}{missing}."


def _about_numbers(rows: Sequence[Row]) -> Iterable[Sentence]:
    yield (
        None,
        "C-index: mean ± std (ddof 0) over folds of the mean over seeds, pairs within a fold only.",
    )
    draws = max(row.about.draws for row in rows)
    if draws:
        yield (
            "[low, high]",
            f"[low, high]: 95 % interval, {draws} bootstrap draws of patients within folds; "
            "conditional on the fitted models.",
        )
    spread = [row.about.seed_std for row in rows if row.seeds > 1 and row.scored]
    if spread:
        yield None, f"Std of the C-index over seeds: up to {max(spread):.3f}."
    horizon = next((row.about.horizon for row in rows if row.about.horizon is not None), None)
    ranges = [row.about.uncensored for row in rows if row.about.uncensored]
    if horizon is not None:
        low, high = min((r[0] for r in ranges), default=0), max((r[1] for r in ranges), default=0)
        weight = f": G(horizon) {low:.2f} to {high:.2f} over folds" if ranges else ""
        what = "Uno's C (and AUC) at"
        yield "Uno C", f"{what} {horizon:g} months, censoring from the training fold{weight}."
    yield (
        "IBS",
        "IBS: integrated Brier score from 0 to the last finite edge of the training fold (0.75 "
        "quantile of its deaths).",
    )
    yield (
        "log-rank",
        "Log-rank p: groups cut at the median risk of each test fold, folds pooled (stratified: "
        "compared within folds), median over seeds; nominal: folds share training patients.",
    )


def _about_gaps(rows: Sequence[Row]) -> Iterable[Sentence]:
    """Why numbers other than the C-index are missing, methods and regimes together."""
    for name, column in _COLUMN.items():
        methods: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            if name in row.about.reasons:
                methods[row.about.reasons[name]].append(row.method)
        for reason, affected in methods.items():
            whose = ", ".join(dict.fromkeys(affected))
            yield column, f"No {column} for {whose}: {_plain(reason)}."


def _about_signs(rows: Sequence[Row]) -> Iterable[str]:
    fills = sorted({row.about.fill for row in rows if row.mark and row.about.fill})
    yield (
        f"*: what is missing was filled in (fill: {', '.join(fills) or 'none here'}); "
        f"{NONE}: no number, a note says why."
    )
    yield f"Ranked within one missing regime; {', '.join(UNRANKED)} are never ranked."
    references: dict[tuple[str, int], list[str]] = defaultdict(list)
    for row in rows:
        if row.about.comparison:
            regimes = references[row.about.reference, row.about.family]
            regimes.extend([row.regime] * (row.regime not in regimes))
    if references:
        families = "; ".join(
            f"{method} for missing {', '.join(regimes)}, family of {family}"
            for (method, family), regimes in references.items()
        )
        yield (
            f"{_DAGGER}: differs from the reference ({families}) by paired bootstrap, "
            f"Holm-adjusted p < {SIGNIFICANT}."
        )


_COLUMN = {
    "uno_c": "Uno C",
    "ibs": "IBS",
    "auc": "AUC",
    "logrank_p": "log-rank",
    "logrank_p_stratified": "stratified",
}


# -- cells of a table


def _c_index(line: Line) -> str:
    row = line.row
    if not row.scored:
        return NONE
    spread = f" ± {row.c_index_std:.3f}" if math.isfinite(row.c_index_std) else ""
    made = row.about.comparison
    dagger = _DAGGER if made is not None and made.p_holm < SIGNIFICANT else ""
    return f"{row.c_index:.3f}{spread}{dagger}{row.mark}"


def _interval(line: Line) -> str:
    row = line.row
    if not math.isfinite(row.c_index_low):
        return NONE
    return f"[{row.c_index_low:.3f}, {row.c_index_high:.3f}]"


def _score(name: str) -> Callable[[Line], str]:
    def shown(line: Line) -> str:
        value = float(line.row.values[name])
        return f"{value:.3f}" if math.isfinite(value) else NONE

    return shown


def _p_value(name: str) -> Callable[[Line], str]:
    def shown(line: Line) -> str:
        value = float(line.row.values[name])
        if not math.isfinite(value):
            return NONE
        return f"{value:.3f}" if value >= _SMALL_P else f"{value:.0e}"

    return shown


_FIRST: tuple[Column, ...] = (
    ("#", lambda line: line.rank),
    ("method", lambda line: line.row.method),
    ("missing", lambda line: line.row.regime),
    ("C-index", _c_index),
    ("[low, high]", _interval),
    ("Uno C", _score("uno_c")),
)
_NARROW: tuple[Column, ...] = (
    *_FIRST,
    ("log-rank", _p_value("logrank_p")),
    ("n", lambda line: str(line.row.n)),
)
_WIDE: tuple[Column, ...] = (
    *_FIRST,
    ("AUC", _score("auc")),
    ("IBS", _score("ibs")),
    ("log-rank", _p_value("logrank_p")),
    ("stratified", _p_value("logrank_p_stratified")),
    ("n", lambda line: str(line.row.n)),
    ("events", lambda line: str(line.row.events)),
    ("left out", lambda line: str(line.row.left_out)),
)
_PUBLISHED: tuple[Column, ...] = tuple(
    column for column in _FIRST if column[0] in ("method", "missing", "C-index")
)
_LEFT = ("method", "missing", "note")


@dataclass(frozen=True)
class _Cells:
    """Text of a board's table and its numbered notes."""

    header: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    notes: Mapping[str, str]  # text to label


def _cells(board: Board, columns: Sequence[Column]) -> _Cells:
    if all(line.row.about.source for line in board.lines):
        columns = _PUBLISHED
    labels: dict[str, str] = {}
    for line in board.lines:
        for note in line.notes:
            labels.setdefault(note, _letters(len(labels)))
    header = [name for name, _ in columns]
    body = [[shown(line) for _, shown in columns] for line in board.lines]
    if labels:
        header.append("note")
        for cells, line in zip(body, board.lines, strict=True):
            cells.append(" ".join(labels[note] for note in line.notes))
    return _Cells(tuple(header), tuple(map(tuple, body)), labels)


def _letters(number: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    before, last = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("a") + last)


def _alignment(cells: _Cells) -> list[str]:
    return ["left" if name in _LEFT else "right" for name in cells.header]


# -- formats


def _text(rows: Sequence[Row]) -> str:
    return "\n\n\n".join(map(_text_board, boards(rows))) or _NOTHING


def _text_board(board: Board) -> str:
    cells = _cells(board, _NARROW)
    body: list[tuple[str, ...] | str] = []
    for before, (line, texts) in zip(
        (None, *board.lines), zip(board.lines, cells.body, strict=True), strict=False
    ):
        if before is not None and before.row.regime != line.row.regime:
            body.append(SEPARATING_LINE)
        body.append(texts)
    table = tabulate(
        body,
        cells.header,
        tablefmt="simple",
        colalign=_alignment(cells),
        disable_numparse=True,
    )
    notes = [f"{label}: {note}" for note, label in cells.notes.items()]
    told = [
        textwrap.fill(text, WIDTH, subsequent_indent="  ")
        for text in [*notes, *board.told(_NARROW)]
    ]
    return "\n".join([textwrap.fill(board.title, WIDTH), "", table, "", *told])


def _github(rows: Sequence[Row]) -> str:
    parts = []
    for board in boards(rows):
        cells = _cells(board, _WIDE)
        table = tabulate(
            [[_markdown(cell) for cell in line] for line in cells.body],
            [_markdown(name) for name in cells.header],
            tablefmt="pipe",
            colalign=_alignment(cells),
            disable_numparse=True,
        )
        notes = [f"- {label}: {_markdown(note)}" for note, label in cells.notes.items()]
        caption = _markdown(" ".join(board.told(_WIDE)))
        listed = [*notes, ""] if notes else []
        parts.append("\n".join([f"### {_markdown(board.title)}", "", table, "", *listed, caption]))
    return "\n\n".join(parts) or _NOTHING


def _latex(rows: Sequence[Row]) -> str:
    parts = ["% needs \\usepackage{booktabs}"]
    for board in boards(rows):
        cells = _cells(board, _WIDE)
        align = "".join(name[0] for name in _alignment(cells))
        notes = [f"{label}: {note}." for note, label in cells.notes.items()]
        body = "\n".join(_latex_line(line) for line in cells.body)
        small = "\n\n".join(
            _escaped(text) for text in [" ".join(board.told(_WIDE)), " ".join(notes)]
        )
        parts.append(
            "\\begin{table}\n\\centering\n"
            f"\\caption{{{_escaped(board.title)}.}}\n"
            f"\\begin{{tabular}}{{{align}}}\n\\toprule\n{_latex_line(cells.header)}\n\\midrule\n"
            f"{body}\n\\bottomrule\n\\end{{tabular}}\n\n"
            f"\\footnotesize\n{small.rstrip()}\n\\end{{table}}"
        )
    return "\n\n".join(parts) if len(parts) > 1 else _NOTHING


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: "" if _is_nan(value) else value for name, value in row.values.items()}
        )
    return text.getvalue()


def _json(rows: Sequence[Row]) -> str:
    listed = [
        {name: None if _is_nan(value) else value for name, value in row.values.items()}
        for row in rows
    ]
    return json.dumps({"schema": SCHEMA, "rows": listed}, indent=1, allow_nan=False)


FORMATS: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "text": _text,
    "github": _github,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
_NOTHING = "no results yet; see 'survbench run --help'"


# -- small text


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _sentence(text: str) -> str:
    return _plain(text).rstrip(".") + "."


def _plain(text: str) -> str:
    """One line without control characters, whatever an error message held."""
    return re.sub(r"[\x00-\x20\x7f-\x9f]+", " ", text).strip()


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]#])", r"\\\1", text) if text != "#" else "\\#"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "<": r"$<$",
    ">": r"$>$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_line(cells: Sequence[str]) -> str:
    # braces: a cell that begins with [ would be read as an option of \\
    return " & ".join(f"{{{_escaped(cell)}}}" if cell else "" for cell in cells) + r" \\"
