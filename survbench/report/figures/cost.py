"""What methods cost against the number of patches of a patient: latency and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from survbench.errors import ResultError
from survbench.report.cost import CostReport, CostRow, series
from survbench.report.figures.drawing import (
    COLOURS,
    DASHES,
    PAGE,
    SMALL,
    Drawing,
    apart,
    canvas,
    file_name,
    lacking,
    style,
)

_VALUES = {
    "median_ms": "latency of one patient [ms]",
    "device_mib": "peak GPU memory [MiB]",
    "host_extra_mib": "extra memory [MiB]",
}
_LINE = 0.115  # inches a name needs


def cost(report: CostReport, regime: str = "none") -> Drawing:
    """Latency and memory of every method of a report, both axes logarithmic.

    Raises
    ------
    ResultError
        The report has no number under this regime.
    """
    rows = [row for row in report.rows if row.regime == regime]
    found = {value: series(rows, value, regime=regime) for value in _VALUES}
    found = {value: lines for value, lines in found.items() if lines}
    if not found:
        known = ", ".join(sorted({row.regime for row in report.rows})) or "nothing"
        msg = f"no cost plot with {lacking(regime)}: the report has {known}; see 'survbench cost'"
        raise ResultError(msg)
    place = rows[0]
    methods = list(dict.fromkeys(row.method for row in rows))
    with style():
        figure = canvas(PAGE, max(2.6, 0.8 + _LINE * len(methods)))
        panels = figure.subplots(1, len(found), squeeze=False)[0]
        for axes, (value, lines) in zip(panels, found.items(), strict=True):
            _draw(axes, lines, methods)
            axes.set_title(_VALUES[value], loc="left", fontsize=SMALL)
        figure.supxlabel(
            f"patches of a patient ({lacking(regime)}, {place.device}, preset {place.preset})",
            fontsize=SMALL,
        )
    title = f"Cost by number of patches: {lacking(regime)}, {place.device}, {place.preset}"
    return Drawing(
        file_name("cost", place.device, place.preset, regime), title, _alt(rows, found), figure
    )


def _draw(
    axes: Axes, lines: Mapping[str, Sequence[tuple[float, float]]], methods: Sequence[str]
) -> None:
    """A line per method, its name at the right end."""
    lines = {name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in lines.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    for name, points in lines.items():
        x, y = zip(*points, strict=True)
        number = methods.index(name)
        axes.plot(
            x, y, marker="o", markersize=2, linewidth=0.9, color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
        )  # fmt: skip
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    axes.set_xticks(sorted({x for points in lines.values() for x, _ in points}))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    _name(axes, lines, methods)


def _name(
    axes: Axes, lines: Mapping[str, Sequence[tuple[float, float]]], methods: Sequence[str]
) -> None:
    """Names at the right, apart from each other, each tied to the end of its line."""
    bottom, top = (math.log(bound) for bound in axes.get_ylim())
    ends = [(math.log(points[-1][1]) - bottom) / (top - bottom) for points in lines.values()]
    places = apart(ends, min(0.045, 1 / max(1, len(ends))), 0.0, 1.0)
    for (name, points), place in zip(lines.items(), places, strict=True):
        colour = COLOURS[methods.index(name) % len(COLOURS)]
        axes.annotate(
            name, points[-1], (1.06, place), textcoords=axes.transAxes, color=colour,
            fontsize=SMALL - 0.5, va="center", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )  # fmt: skip


def _alt(
    rows: Sequence[CostRow], found: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
) -> str:
    told = []
    for value, lines in found.items():
        numbers = ", ".join(
            f"{name} {points[-1][1]:.3g} at {points[-1][0]:g} patches"
            for name, points in sorted(lines.items())
        )
        told.append(f"{_VALUES[value]}: {numbers}")
    return f"Cost with {lacking(rows[0].regime)} on {rows[0].device}; {'; '.join(told)}."
