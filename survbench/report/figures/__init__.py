"""Figures for print and for the site, each with a title and words for those who cannot see it."""

from survbench.report.figures.calibration import calibration
from survbench.report.figures.cost import cost
from survbench.report.figures.degradation import degradation
from survbench.report.figures.drawing import FORMATS, Drawing
from survbench.report.figures.forest import forest
from survbench.report.figures.kaplan_meier import km
from survbench.report.figures.km_grid import km_grid
from survbench.report.figures.plots import KINDS, plots

__all__ = [
    "FORMATS",
    "KINDS",
    "Drawing",
    "calibration",
    "cost",
    "degradation",
    "forest",
    "km",
    "km_grid",
    "plots",
]
