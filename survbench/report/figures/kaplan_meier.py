"""Kaplan-Meier curves of the high and the low risk group of a row, with the numbers at risk."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from survbench.errors import ResultError
from survbench.report.figures.drawing import (
    BLUE,
    COLUMN,
    GREY,
    SMALL,
    VERMILLION,
    Drawing,
    canvas,
    file_name,
    heading,
    lacking,
    month_ticks,
    named,
    style,
)
from survbench.report.leaderboard import Scored
from survbench.report.tables.cells import p_value
from survbench.score.groups import Cut, RiskGroups
from survbench.score.kaplan_meier import KaplanMeier, at_risk, curves, drawn_groups
from survbench.score.logrank import hazard_ratio, pooled
from survbench.score.predictions import Array

COLOUR = {"high": VERMILLION, "low": BLUE}
_DASH = {"high": "-", "low": (0, (4, 1.2))}  # told apart in grey, too
_CUT = {"test": "the median risk of each test fold", "train": "the median risk in training"}
MIN_AT_RISK = 10  # a curve of fewer patients says little


def km(entry: Scored, cut: Cut = "test") -> Drawing:
    """Curves with 95 % bands of the seed whose p is that of the table.

    The axis ends where fewer than ten patients in all are at risk.

    Parameters
    ----------
    entry : Scored
        A row with its predictions.
    cut : "test" or "train"
        Where each fold is cut: the median risk of its test patients, or of its training patients.

    Raises
    ------
    ResultError
        The row has no number, or its training cut was not recorded.
    """
    groups = groups_of(entry, cut)
    made = curves(groups)
    row, last = entry.row, last_month(groups)
    with style():
        figure = canvas(COLUMN, 2.75)
        axes, table = figure.subplots(2, 1, height_ratios=[1, 0.17])
        draw_curves(axes, made, last)
        axes.set_xticks(month_ticks(last))
        axes.set_xlabel("months")
        axes.set_ylabel("survival")
        heading(axes, f"{named(row)}, {lacking(row.regime)} ({row.cohort})", numbers_of(groups))
        _label(axes, made, last)
        _at_risk(table, groups, axes)
    title = f"Kaplan-Meier: {named(row)}, {lacking(row.regime)}, {row.cohort}"
    name = file_name("km", row.cohort, named(row), row.regime, *["train_cut"] * (cut == "train"))
    return Drawing(name, title, _alt(entry, groups, made, cut), figure)


def groups_of(entry: Scored, cut: Cut = "test") -> RiskGroups:
    """Risk groups that a figure of a row shows.

    Raises
    ------
    ResultError
        There are none.
    """
    row = entry.row
    if not entry.folds:
        msg = f"no curves of {row.method}, {lacking(row.regime)}: {row.reason or 'no predictions'}"
        raise ResultError(msg)
    groups = drawn_groups(entry.folds, cut)
    if groups is None:
        msg = (
            f"no curves of {row.method} at the training cut: the median risk of the training "
            "patients was not recorded; run it again, or use the cut at the test median"
        )
        raise ResultError(msg)
    return groups


def numbers_of(groups: RiskGroups) -> str:
    """Nominal p and hazard ratio of the groups."""
    p = pooled(groups.time, groups.event, groups.high)
    ratio = hazard_ratio(groups.time, groups.event, groups.high, groups.fold)
    told = f"log-rank p = {p_value(p.value)} (nominal)" if not p.reason else p.reason
    if math.isfinite(ratio.value):
        told += f", hazard ratio {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    return told


def last_month(groups: RiskGroups) -> float:
    """Where fewer than ten patients are at risk; the last follow-up of fewer than ten."""
    times = np.sort(groups.time)
    return float(times[-min(MIN_AT_RISK, len(times))])


def draw_curves(axes: Axes, made: Mapping[str, KaplanMeier], last: float) -> None:
    """Both step functions with their bands, from 0 to the last month."""
    for name, curve in made.items():
        time, survival, low, high = _until(curve, last)
        axes.fill_between(time, low, high, step="post", color=COLOUR[name], alpha=0.18, linewidth=0)
        axes.step(time, survival, where="post", color=COLOUR[name], linestyle=_DASH[name])
    axes.set_xlim(0, last)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0.25, 0.75], minor=True)


def _until(curve: KaplanMeier, last: float) -> tuple[Array, Array, Array, Array]:
    """Curve and band up to the last month, or the end of the follow-up."""
    here = curve.time < last
    end = min(last, float(curve.time[-1]))
    steps = (curve.survival, curve.low, curve.high)
    values = [np.append(step[here], step[here][-1]) for step in steps]
    return np.append(curve.time[here], end), values[0], values[1], values[2]


def _label(axes: Axes, made: Mapping[str, KaplanMeier], last: float) -> None:
    """Names beside the curves, where the two are furthest apart."""
    at = last * 0.62
    height = {name: curve.at(min(at, float(curve.time[-1]))).value for name, curve in made.items()}
    top = max(height, key=lambda name: height[name])
    for name, value in height.items():
        up = 0.07 if name == top else -0.07
        axes.text(
            at,
            min(max(value + up, 0.04), 0.99),
            f"{name} risk",
            color=COLOUR[name],
            fontsize=SMALL,
            ha="left" if name == top else "right",
            va="bottom" if name == top else "top",
        )


def _at_risk(table: Axes, groups: RiskGroups, axes: Axes) -> None:
    """Patients at risk at every tick, below the axis."""
    ticks = axes.get_xticks()
    table.set_xlim(axes.get_xlim())
    table.set_ylim(-0.5, 2.5)
    table.axis("off")
    table.annotate(
        "at risk", (0, 2), (-13, 0), textcoords="offset points", ha="right", va="center",
        fontsize=SMALL, color=GREY, annotation_clip=False,
    )  # fmt: skip
    for line, (name, members) in enumerate((("low", ~groups.high), ("high", groups.high))):
        table.annotate(
            name, (0, line), (-13, 0), textcoords="offset points", ha="right", va="center",
            fontsize=SMALL, color=COLOUR[name], annotation_clip=False,
        )  # fmt: skip
        counts = at_risk(groups.time[members], np.asarray(ticks, np.float64))
        for tick, count in zip(ticks, counts, strict=True):
            table.text(
                tick, line, str(count), fontsize=SMALL, color=COLOUR[name], ha="center", va="center"
            )


def _alt(entry: Scored, groups: RiskGroups, made: Mapping[str, KaplanMeier], cut: Cut) -> str:
    row = entry.row
    told = ", ".join(
        f"{name} risk {curve.n} patients with {curve.events} deaths" for name, curve in made.items()
    )
    return (
        f"Observed survival of two risk groups by {named(row)} on {row.cohort} with "
        f"{lacking(row.regime)}, cut at {_CUT[cut]}: {told}; {numbers_of(groups)}."
    )
