"""Predicted against observed survival of five risk groups at one horizon."""

from __future__ import annotations

import math

import numpy as np

from survbench.errors import ResultError
from survbench.report.figures.drawing import (
    BLUE,
    COLUMN,
    GREY,
    Drawing,
    canvas,
    file_name,
    heading,
    lacking,
    named,
    style,
)
from survbench.report.leaderboard import Scored
from survbench.score.calibration import Calibration, calibration_horizon, drawn_calibration

_TICKS = np.linspace(0, 1, 6)


def calibration(entry: Scored) -> Drawing:
    """Groups of patients by predicted survival, with the 95 % bands of what was observed.

    The diagonal is where right predictions lie. Of several seeds the one with the median error.

    Raises
    ------
    ResultError
        The row has no survival at the horizon; the message says why.
    """
    row = entry.row
    months = calibration_horizon(entry.folds, row.about.horizon) if entry.folds else None
    made = drawn_calibration(entry.folds, months) if entry.folds else Calibration.none(row.reason)
    if months is None or not made.groups:
        reason = made.error.reason or "no predictions"
        msg = f"no calibration of {row.method}, {lacking(row.regime)}: {reason}"
        raise ResultError(msg)
    shown = [group for group in made.groups if math.isfinite(group.observed.value)]
    x = np.array([group.predicted for group in shown])
    y = np.array([group.observed.value for group in shown])
    low = np.array([group.observed.low for group in shown])
    high = np.array([group.observed.high for group in shown])
    with style():
        figure = canvas(COLUMN * 0.75, COLUMN * 0.8)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
        around = np.nan_to_num(np.abs(np.stack([y - low, high - y])))
        axes.errorbar(x, y, around, fmt="o-", color=BLUE, markersize=3.5, linewidth=0.8, capsize=0)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xticks(_TICKS)
        axes.set_yticks(_TICKS)
        axes.set_xlabel(f"predicted survival at {months:g} months")
        axes.set_ylabel("observed survival")
        heading(axes, f"{named(row)}, {lacking(row.regime)} ({row.cohort})", _numbers(made))
    groups = "; ".join(f"{p:.2f} predicted, {o:.2f} observed" for p, o in zip(x, y, strict=True))
    title = f"Calibration at {months:g} months: {named(row)}, {lacking(row.regime)}, {row.cohort}"
    alt = (
        f"Survival at {months:g} months of {len(shown)} groups by {named(row)} on {row.cohort} "
        f"with {lacking(row.regime)}: {groups}; {_numbers(made)}."
    )
    name = file_name("calibration", row.cohort, named(row), row.regime)
    return Drawing(name, title, alt, figure)


def _numbers(made: Calibration) -> str:
    told = []
    if math.isfinite(made.slope.value):
        slope = made.slope
        told.append(f"slope {slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]")
    if math.isfinite(made.error.value):
        told.append(f"mean error {made.error.value:.3f}")
    return ", ".join(told) or made.error.reason
