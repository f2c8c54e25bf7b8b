"""The pages of the site, written to a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path

import jinja2

import survbench
from survbench.bench.disk import writing
from survbench.errors import InputError
from survbench.registry import list_methods
from survbench.report import render
from survbench.report.cards.card import CohortCard
from survbench.report.cards.tables import card_tables
from survbench.report.control import CAPTION, HEADER, LABELS, ControlRow, control_cells
from survbench.report.leaderboard import Scored
from survbench.report.row import Row
from survbench.report.site.figure import FOLDER, Figure, figure_file
from survbench.report.site.view import KINDS, BoardView, Material, board_view, ledger_view
from survbench.report.tables.board import boards

_PAGES = ("index.html", "cohorts.html", "ledger.html", "about.html")
_STATIC = ("site.css", "site.js")
_MARK = '<meta name="generator" content="survbench">'  # of a folder that is ours to overwrite


def write_site(
    entries: Sequence[Scored],
    folder: str | Path,
    *,
    ledger: Iterable[Mapping[str, object]] = (),
    published: Sequence[Row] = (),
    cards: Iterable[CohortCard] = (),
    control: Sequence[ControlRow] = (),
    figures: Mapping[str, Figure] | None = None,
    recovered: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Write the site; the same input gives the same bytes, and nothing in it names this machine.

    Parameters
    ----------
    entries : sequence of Scored
        Measured rows, in the order of the leaderboard.
    folder : path
        New or empty folder, or one that holds such a site.
    ledger : iterable of mapping
        Published beside measured, a line each; "status" is the verdict.
    published : sequence of Row
        What papers printed; on boards of their own, never among measured rows.
    cards : iterable of CohortCard
        One for every cohort that has one.
    control : sequence of ControlRow
        The negative controls of these cohorts.
    figures : mapping of <cohort>/<setting>/<regime>/<kind> to Figure
        Plots of the rows.
    recovered : mapping of <cohort>/<setting>/<regime> to means
        See `recovery`.

    Raises
    ------
    InputError
        The folder holds something else.
    DiskError
        It cannot be written.
    """
    target, plots = Path(folder), dict(figures or {})
    _check(target)
    material = Material.of(entries, plots, recovered or {})
    rows = [entry.row for entry in entries]
    measured = [board_view(board, material) for board in boards(rows)]
    printed = [board_view(board, material) for board in boards(published)]
    shown = {file for board in measured for row in board.rows for _, file in row.figures}
    files = {
        **_rendered(
            boards=measured,
            published=printed,
            ledger=ledger_view(ledger),
            cards=[(card, card_tables(card)) for card in cards],
            control={
                "header": HEADER,
                "labels": LABELS,
                "rows": [control_cells(row) for row in control],
                "told": CAPTION.splitlines(),
            },
            further=[
                (plots[key], figure_file(key))
                for key in sorted(plots)
                if figure_file(key) not in shown
            ],
            papers=_papers(measured),
        ),
        **{name: _packaged(name) for name in _STATIC},
        **{f"leaderboard.{kind}": render(rows, kind) for kind in ("csv", "json")},
        **{figure_file(key): plot.svg for key, plot in plots.items()},
    }
    _write(target, files)


def _rendered(**content: object) -> dict[str, str]:
    """Text of every page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("survbench.report.site"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    common = {"version": survbench.__version__, "kinds": KINDS}
    return {
        page: environment.get_template(page).render(page=page, **common, **content)
        for page in _PAGES
    }


def _papers(measured: Iterable[BoardView]) -> list[tuple[str, str]]:
    """Measured methods with the papers they are from."""
    names = {row.row.method for board in measured for row in board.rows}
    return [(entry.name, entry.paper) for entry in list_methods() if entry.name in names]


def _packaged(name: str) -> str:
    return (resources.files("survbench.report.site") / name).read_text(encoding="utf-8")


def _check(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier site."""
    if folder.exists() and not folder.is_dir():
        msg = f"{folder} is a file; give a folder for the site"
        raise InputError(msg)
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    index = folder / "index.html"
    if not index.is_file() or _MARK not in index.read_text(encoding="utf-8", errors="replace"):
        msg = (
            f"{folder} holds files that are no survbench site; give a new or an empty folder, or "
            "that of an earlier site"
        )
        raise InputError(msg)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    with writing(f"the site in {folder}"):
        for old in sorted((folder / FOLDER).rglob("*.svg")):
            if old.relative_to(folder).as_posix() not in files:
                old.unlink()
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
