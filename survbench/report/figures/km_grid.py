"""Kaplan-Meier curves of many rows at once: methods by cohorts and regimes, as in the papers."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from survbench.errors import ResultError
from survbench.report.figures.drawing import (
    GREY,
    PAGE,
    SMALL,
    Drawing,
    canvas,
    file_name,
    lacking,
    month_ticks,
    named,
    style,
)
from survbench.report.figures.kaplan_meier import draw_curves, groups_of, last_month
from survbench.report.leaderboard import Scored
from survbench.report.row import rank_order
from survbench.report.tables.cells import p_value
from survbench.score.kaplan_meier import curves
from survbench.score.logrank import pooled

_PANEL = 0.85  # inches, height of a panel


def km_grid(entries: Sequence[Scored]) -> Drawing:
    """One panel per row: methods downwards, cohorts and regimes across; p is nominal.

    A row without a number leaves its panel empty, with a dash.

    Raises
    ------
    ResultError
        There is nothing to draw, or two rows would share a panel.
    """
    panels = _panels(entries)
    methods = list(dict.fromkeys(method for method, _ in panels))
    columns = list(dict.fromkeys(column for _, column in panels))
    with style():
        figure = canvas(PAGE, 0.5 + _PANEL * len(methods))
        grid = figure.subplots(len(methods), len(columns), squeeze=False, sharex="col", sharey=True)
        for down, method in enumerate(methods):
            for across, column in enumerate(columns):
                axes = grid[down][across]
                _panel(axes, panels.get((method, column)))
                if down == 0:
                    axes.set_title(f"{column[0]}\n{lacking(column[1])}", fontsize=SMALL)
            grid[down][0].set_ylabel(method, fontsize=SMALL)
        figure.supxlabel("months", fontsize=SMALL)
    cohorts = list(dict.fromkeys(cohort for cohort, _ in columns))
    told = "; ".join(
        f"{method} on {column[0]} with {lacking(column[1])}: {_p_of(panels[method, column])}"
        for method, column in panels
    )
    title = f"Kaplan-Meier of high (solid) and low risk (dashed): {', '.join(cohorts)}"
    alt = f"Survival of the high and the low risk group with nominal log-rank p: {told}."
    return Drawing(file_name("km_grid", *cohorts), title, alt, figure)


def _panels(entries: Sequence[Scored]) -> dict[tuple[str, tuple[str, str]], Scored]:
    """Rows by (method, (cohort, regime)), in the order of the first cohort's ranks."""
    if not any(entry.folds for entry in entries):
        msg = "no Kaplan-Meier grid: none of these rows has predictions"
        raise ResultError(msg)
    panels: dict[tuple[str, tuple[str, str]], Scored] = {}
    for entry in sorted(entries, key=lambda entry: (*rank_order(entry.row), entry.row.cohort)):
        row = entry.row
        place = (named(row), (row.cohort, row.regime))
        if place in panels:
            other = panels[place].row
            msg = (
                f"no Kaplan-Meier grid: settings {other.setting} and {row.setting} of "
                f"{row.method} on {row.cohort} would share a panel; choose --method or a folder "
                "with one population, preset and training regime"
            )
            raise ResultError(msg)
        panels[place] = entry
    return dict(sorted(panels.items(), key=lambda item: item[0][1][0]))


def _panel(axes: Axes, entry: Scored | None) -> None:
    axes.tick_params(labelsize=SMALL - 1)
    if entry is None or not entry.folds:
        axes.text(0.5, 0.5, "-", transform=axes.transAxes, ha="center", color=GREY)
        return
    groups = groups_of(entry)
    month = last_month(groups)
    draw_curves(axes, curves(groups), month)
    axes.set_xticks(month_ticks(month, most=3))
    axes.text(0.04, 0.05, f"p = {_p_of(entry)}", transform=axes.transAxes, fontsize=SMALL - 1)


def _p_of(entry: Scored) -> str:
    if not entry.folds:
        return "no number"
    groups = groups_of(entry)
    return p_value(pooled(groups.time, groups.event, groups.high).value)
