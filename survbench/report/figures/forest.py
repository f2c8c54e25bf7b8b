"""C-index of every method with its interval, regime by regime."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from survbench.errors import ResultError
from survbench.report.figures.drawing import (
    BLUE,
    COLUMN,
    GREY,
    INK,
    PAGE,
    SMALL,
    Drawing,
    canvas,
    file_name,
    lacking,
    named,
    style,
)
from survbench.report.row import Row, rank_order
from survbench.report.tables.cells import c_index


def forest(rows: Sequence[Row]) -> Drawing:
    """A panel per regime, a line per method, best with nothing missing on top.

    Filled dot: ranked; hollow dot: ranked, something missing was filled in; grey square: a control
    or simulated truth, never ranked; dash: no number.

    Parameters
    ----------
    rows : sequence of Row
        Rows of one board.

    Raises
    ------
    ResultError
        None of them has a number.
    """
    if not any(row.scored for row in rows):
        msg = "no forest plot: none of these rows has a C-index"
        raise ResultError(msg)
    ordered = sorted(rows, key=rank_order)
    regimes = list(dict.fromkeys(row.regime for row in ordered))
    names = list(dict.fromkeys(_name(row, ordered) for row in ordered))
    width = COLUMN if len(regimes) == 1 else PAGE
    with style():
        figure = canvas(width, 0.75 + 0.15 * len(names))
        panels = figure.subplots(1, len(regimes), sharex=True, sharey=True, squeeze=False)[0]
        for axes, regime in zip(panels, regimes, strict=True):
            here = {_name(row, ordered): row for row in ordered if row.regime == regime}
            axes.axvline(0.5, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
            for line, name in enumerate(names):
                _line(axes, line, here.get(name))
            axes.set_title(lacking(regime), loc="left", fontsize=SMALL)
            axes.tick_params(left=False)
            axes.spines["left"].set_visible(False)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        low, high = _limits(ordered)
        panels[0].set_xlim(low, high)
        figure.supxlabel(f"C-index, 95 % interval ({ordered[0].cohort})", fontsize=SMALL)
    return Drawing(
        file_name("forest", ordered[0].cohort),
        f"C-index of every method: {ordered[0].cohort}",
        _alt(ordered, regimes),
        figure,
    )


def _name(row: Row, rows: Sequence[Row]) -> str:
    """Method, with its setting where two settings look the same."""
    name = named(row)
    same = {other.setting for other in rows if named(other) == name}
    return f"{name} {row.setting}" if len(same) > 1 else name


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    bounds = [
        value
        for row in rows
        for value in (row.c_index, row.c_index_low, row.c_index_high)
        if math.isfinite(value)
    ]
    return min(*bounds, 0.48) - 0.01, max(*bounds, 0.52) + 0.02


def _line(axes: Axes, line: int, row: Row | None) -> None:
    if row is None:
        return
    if not row.scored:
        axes.text(0.5, line, "-", transform=axes.get_yaxis_transform(), color=GREY, va="center")
        return
    colour = BLUE if row.ranked else GREY
    if math.isfinite(row.c_index_low):
        axes.plot([row.c_index_low, row.c_index_high], [line, line], color=colour, linewidth=0.9)
    axes.plot(
        [row.c_index], [line], marker="o" if row.ranked else "s", markersize=3.4, color=colour,
        markerfacecolor="white" if row.mark else colour,
    )  # fmt: skip
    if row.mark:
        axes.text(
            max(row.c_index_high, row.c_index), line, f" {row.mark}", color=INK, fontsize=SMALL,
            va="center",
        )  # fmt: skip


def _alt(rows: Sequence[Row], regimes: Sequence[str]) -> str:
    told = []
    for regime in regimes:
        scored = [row for row in rows if row.regime == regime and row.scored]
        numbers = ", ".join(f"{named(row)} {c_index(row, spread=False)}" for row in scored)
        told.append(f"{lacking(regime)}: {numbers or 'no number'}")
    return f"C-index on {rows[0].cohort}; {'; '.join(told)}."
