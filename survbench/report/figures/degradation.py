"""C-index against the share of patients who miss a modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from survbench.errors import ResultError
from survbench.report.figures.drawing import (
    BLUE,
    COLOURS,
    COLUMN,
    DASHES,
    GREY,
    INK,
    PAGE,
    PALE,
    SMALL,
    Drawing,
    apart,
    canvas,
    file_name,
    heading,
    named,
    style,
)
from survbench.report.leaderboard import Scored
from survbench.score.degradation import Curve
from survbench.score.degradation import degradation as curve_of

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
_TOGETHER = len(COLOURS)  # more curves than this stand in panels of their own
_BANDS = 3  # more bands than this hide each other
_ACROSS = 4  # panels side by side
_CHANCE = 0.5
_NEAR_CHANCE = 0.58  # below which the plot reaches down to chance


def degradation(entries: Sequence[Scored], modality: str) -> Drawing:
    """Exact curves with 95 % intervals of the methods that predict with and without a modality.

    Up to six stand in one plot, whose intervals are drawn at its ends where there are more than
    three; more methods get a panel each, the others pale behind it.

    Parameters
    ----------
    entries : sequence of Scored
        Rows of one board.
    modality : str
        Whose absence is looked at.

    Raises
    ------
    ResultError
        No method has predictions of both regimes.
    """
    found = _curves(entries, modality)
    cohort = entries[0].row.cohort
    ordered = sorted(found, key=lambda name: -found[name].c_index[0])
    shown = {name: found[name] for name in ordered}
    with style():
        figure = _together(shown) if len(shown) <= _TOGETHER else _panels(shown)
        first = figure.axes[0]
        if len(shown) <= _TOGETHER:
            heading(first, f"{modality} missing ({cohort})")
            first.set_xlabel(f"patients without {modality} [%]")
            first.set_ylabel("C-index")
        else:
            figure.supxlabel(f"patients without {modality} [%] ({cohort})", fontsize=SMALL)
            figure.supylabel("C-index", fontsize=SMALL)
    told = "; ".join(
        f"{name} from {curve.c_index[0]:.3f} [{curve.low[0]:.3f}, {curve.high[0]:.3f}] to "
        f"{curve.c_index[-1]:.3f} [{curve.low[-1]:.3f}, {curve.high[-1]:.3f}]"
        for name, curve in shown.items()
    )
    title = f"C-index against the share of patients without {modality}: {cohort}"
    alt = f"C-index on {cohort} as the share of patients without {modality} grows to all: {told}."
    return Drawing(file_name("degradation", cohort, modality), title, alt, figure)


def _curves(entries: Sequence[Scored], modality: str) -> dict[str, Curve]:
    with_all = {e.row.setting: e for e in entries if e.row.regime == "none" and e.folds}
    without = {e.row.setting: e for e in entries if e.row.regime == modality and e.folds}
    found: dict[str, Curve] = {}
    for setting in [name for name in with_all if name in without]:
        row = with_all[setting].row
        name = named(row) + row.mark
        name = f"{name} {setting}" if name in found else name
        found[name] = curve_of(with_all[setting].folds, without[setting].folds)
    if not found:
        known = sorted({e.row.regime for e in entries if e.folds}) or ["none"]
        msg = (
            f"no degradation curve: no method has predictions for 'none' and for {modality!r}; "
            f"there are {', '.join(known)}; run with --missing {modality}"
        )
        raise ResultError(msg)
    return found


def _limits(curves: Mapping[str, Curve]) -> tuple[float, float]:
    low = min(float(np.nanmin(curve.low)) for curve in curves.values())
    high = max(float(np.nanmax(curve.high)) for curve in curves.values())
    chance = _CHANCE if low < _NEAR_CHANCE else low
    return min(low, chance - 0.01) - 0.01, high + 0.01


def _together(curves: Mapping[str, Curve]) -> Figure:
    figure = canvas(COLUMN, 2.5)
    axes = figure.subplots()
    low, high = _limits(curves)
    crowded = len(curves) > _BANDS
    ends = apart([curve.c_index[-1] for curve in curves.values()], (high - low) / 20, low, high)
    for number, ((name, curve), end) in enumerate(zip(curves.items(), ends, strict=True)):
        colour, share = COLOURS[number], 100 * curve.share
        axes.plot(share, curve.c_index, color=colour, linestyle=DASHES[number])
        if not crowded:
            axes.fill_between(share, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        else:
            _whiskers(axes, curve, colour, number - (len(curves) - 1) / 2)
        axes.annotate(
            name, (101 + 5 * crowded, curve.c_index[-1]), (104 + 8 * crowded, end), color=colour,
            fontsize=SMALL, va="center", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )  # fmt: skip
    _frame(axes, low, high, margin=6 * crowded)
    return figure


def _whiskers(axes: Axes, curve: Curve, colour: str, place: float) -> None:
    """Intervals at both ends, side by side."""
    for end in (0, -1):
        x = 100 * curve.share[end] + 1.1 * place
        axes.plot([x, x], [curve.low[end], curve.high[end]], color=colour, linewidth=0.8)


def _panels(curves: Mapping[str, Curve]) -> Figure:
    down = -(-len(curves) // _ACROSS)
    figure = canvas(PAGE, 0.4 + 1.15 * down)
    grid = figure.subplots(down, _ACROSS, sharex=True, sharey=True, squeeze=False).ravel()
    low, high = _limits(curves)
    for axes, (name, curve) in zip(grid, curves.items(), strict=False):
        for other in curves.values():
            axes.plot(100 * other.share, other.c_index, color=PALE, linewidth=0.5)
        share = 100 * curve.share
        axes.fill_between(share, curve.low, curve.high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(share, curve.c_index, color=BLUE)
        axes.set_title(name, fontsize=SMALL, loc="left", color=INK, pad=2)
        _frame(axes, low, high, margin=0)
    for axes in grid[len(curves) :]:
        axes.set_visible(False)
    return figure


def _frame(axes: Axes, low: float, high: float, margin: float) -> None:
    if low < _CHANCE:
        axes.axhline(_CHANCE, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
    axes.set_xlim(-margin, 100 + margin)
    axes.set_ylim(low, high)
    axes.set_xticks([0, 25, 50, 75, 100])
