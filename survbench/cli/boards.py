"""`survbench leaderboard` and `survbench score`: predictions to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from survbench.errors import UnknownNameError

FORMATS = "text, github, latex, csv or json"


@click.command()
@click.option("--results", type=Path, required=True, help="Folder that 'survbench run' wrote.")
@click.option("--cohort", help="Only this cohort.")
@click.option("--format", default="text", show_default=True, help=FORMATS)
def leaderboard(results: Path, cohort: str | None, format: str) -> None:
    """Score the predictions in a results folder and show its leaderboards."""
    from survbench.bench.cell import find_cells
    from survbench.report import leaderboard as rows_of
    from survbench.report import render

    render([], format)  # a wrong format is told before the scoring
    rows = rows_of(results, cohort=cohort)
    if cohort is not None and not rows:
        known = {cell.cohort for cell in find_cells(results)}
        kind, see = "cohort in these results", f"'survbench leaderboard --results {results}'"
        raise UnknownNameError(kind, cohort, known, see)
    print(render(rows, format), end="")


@click.command()
@click.argument("files", nargs=-1, type=Path)
def score(files: Sequence[Path]) -> None:
    """Score prediction files one by one; no features are needed."""
    from survbench.report.files import render_files, score_files

    print(render_files(score_files(files)), end="")
