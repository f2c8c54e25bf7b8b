"""`survbench plot`: figures of results, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from survbench.cli.boards import entries_of
from survbench.cli.console import listed
from survbench.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from survbench.report.figures import Drawing
    from survbench.report.leaderboard import Scored


@click.command()
@click.argument("kind")
@click.option(
    "--results", type=Path, help="Folder that 'survbench run' wrote.  [default: committed boards]"
)
@click.option("--cohort", help="Only this cohort.")
@click.option("--method", multiple=True, help="Only these methods: NAME[,NAME].")
@click.option("--missing", multiple=True, help="Only these test regimes, such as P; for cost, one.")
@click.option("--out", type=Path, default=Path("figures"), show_default=True, help="Folder.")
@click.option("--format", "formats", multiple=True, default=("svg,png",), show_default=True)
def plot(
    kind: str,
    results: Path | None,
    cohort: str | None,
    method: Sequence[str],
    missing: Sequence[str],
    out: Path,
    formats: Sequence[str],
) -> None:
    """Draw figures of a KIND: km, km-grid, degradation, calibration, forest or cost.

    km: Kaplan-Meier curves of every row; km-grid: methods by cohorts and regimes; degradation:
    C-index against the share of patients who miss a modality; calibration: predicted against
    observed survival; forest: C-index with intervals; cost: of the committed measurements.
    """
    from survbench.report.figures import FORMATS

    wanted = listed(formats)
    for name in wanted:
        if name not in FORMATS:
            raise UnknownNameError(
                kind="format", name=name, known=FORMATS, see="'survbench plot --help'"
            )
    drawings = (
        _costs(listed(missing))
        if kind == "cost"
        else _of_results(kind, results, cohort, listed(method), listed(missing))
    )
    for drawing in drawings:
        for path in drawing.save(out, wanted):
            print(path)


def _costs(missing: Sequence[str]) -> list[Drawing]:
    from survbench.report.cost import committed, read_report
    from survbench.report.figures import cost

    paths = committed()
    if not paths:
        msg = "no cost plot: no measurements come with this survbench; see 'survbench cost --help'"
        raise InputError(msg)
    reports = [read_report(path) for path in paths]
    return [cost(report, regime) for report in reports for regime in (missing or ("none",))]


def _of_results(
    kind: str,
    results: Path | None,
    cohort: str | None,
    methods: Sequence[str],
    missing: Sequence[str],
) -> list[Drawing]:
    from survbench.cohort import Regime
    from survbench.report.figures import KINDS, plots

    if kind not in KINDS:
        plots(kind, [])  # says which there are
    regimes = {str(Regime.parse(text)) for text in missing}
    entries = entries_of(results, cohort)
    known = {entry.row.method for entry in entries}
    for name in methods:
        if entries and name not in known:
            see = f"'survbench leaderboard{f' --results {results}' if results else ''}'"
            raise UnknownNameError(kind="method in these results", name=name, known=known, see=see)
    if kind == "degradation" and regimes:
        regimes |= {"none"}  # a curve begins there
    chosen = [
        entry
        for entry in entries
        if (not methods or entry.row.method in methods)
        and (not regimes or entry.row.regime in regimes)
    ]
    if not chosen:
        raise InputError(_nothing(results or "the committed boards", entries))
    return plots(kind, chosen)


def _nothing(results: object, entries: Sequence[Scored]) -> str:
    """What is there, where nothing was chosen."""
    if not entries:
        return f"nothing to plot: {results} holds no such results; see 'survbench leaderboard'"
    rows = [entry.row for entry in entries]
    there = "; ".join(
        f"{name}: {', '.join(dict.fromkeys(getattr(row, field) for row in rows))}"
        for name, field in (("cohorts", "cohort"), ("methods", "method"), ("missing", "regime"))
    )
    return f"nothing to plot: no such row in {results}; there are {there}"
