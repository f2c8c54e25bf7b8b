"""A whole site from what is there: a results folder, submissions, or rendered boards alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from survbench.bench.cell import find_cells
from survbench.bench.kept import KeptFit
from survbench.cohort import Regime
from survbench.errors import InputError, ResultError
from survbench.report.cards.card import CohortCard
from survbench.report.cards.files import read_card
from survbench.report.control import control_rows, is_control, permutations
from survbench.report.figures import Drawing, calibration, km, plots
from survbench.report.leaderboard import Scored, score_fits, scored_rows
from survbench.report.ledger import ledger
from survbench.report.published import published
from survbench.report.site.figure import Figure
from survbench.report.site.recovery import recovery
from survbench.report.site.write import write_site
from survbench.report.submissions.permutations import committed_permutations
from survbench.report.submissions.rendered import committed, rendered_rows
from survbench.report.submissions.submission import submitted_fits

CARD = ".card.json"
_OF_ROWS = {"km": km, "calibration": calibration}


def publish(
    folder: str | Path, *, results: str | Path | None = None, cohort: str | None = None
) -> None:
    """Write the site of a results folder, or of the committed boards.

    Where survbench is installed without the submissions, the committed boards have no figures.

    Parameters
    ----------
    folder : path
        Where the site goes.
    results : path or None
        Folder that `survbench run` wrote; None for the committed boards.
    cohort : str or None
        Only this cohort.

    Raises
    ------
    InputError
        There is nothing to show, or the folder holds something else.
    ResultError
        A file is damaged.
    """
    if results is not None:
        cells = find_cells(results, cohort)
        fits: list[KeptFit] = [fit for fit in cells if not is_control(fit)]
        entries, permuted = scored_rows(results, cohort=cohort), permutations(cells)
    else:
        root = Path(str(committed()))
        fits = submitted_fits(root, cohort) if root.is_dir() else []
        entries = score_fits(fits) or [Scored(row) for row in rendered_rows(cohort)]
        shown = {entry.row.cohort for entry in entries}
        permuted = [one for one in committed_permutations() if one.cohort in shown]
    if not entries:
        msg = f"no row to show in {results or 'the committed boards'}; see 'survbench run --help'"
        raise InputError(msg)
    write_site(
        entries,
        folder,
        ledger=[asdict(row) for row in ledger([entry.row for entry in entries])],
        published=published(),
        cards=_cards({entry.row.cohort for entry in entries}),
        control=control_rows(permuted),
        figures=_figures(entries),
        recovered=recovery(fits),
    )


def _cards(cohorts: Iterable[str]) -> list[CohortCard]:
    """Committed cards of the cohorts that have one."""
    files = [committed() / f"{name}{CARD}" for name in sorted(cohorts)]
    return [read_card(Path(str(file))) for file in files if file.is_file()]


def _figures(entries: Sequence[Scored]) -> dict[str, Figure]:
    """Curves of every row in which a modality is missing as a whole or not, and of every board."""
    made: dict[str, Figure] = {}
    for entry in entries:
        row = entry.row
        if not entry.folds or any(rate < 1 for _, rate in Regime.parse(row.regime).rates):
            continue
        for kind, draw in _OF_ROWS.items():
            try:
                made[f"{row.cohort}/{row.setting}/{row.regime}/{kind}"] = _figure(draw(entry))
            except ResultError:  # a row without survival curves has no calibration
                continue
    try:
        curves = plots("degradation", entries)
    except ResultError:  # nothing was predicted with a modality missing
        curves = []
    return made | {f"boards/{one.name}/all/degradation": _figure(one) for one in curves}


def _figure(drawing: Drawing) -> Figure:
    return Figure(drawing.title, drawing.alt, drawing.svg())
