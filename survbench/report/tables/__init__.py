"""Leaderboard rows as people and scripts read them: boards, formats and layouts."""

from survbench.report.tables.formats import FORMATS, LAYOUTS, WIDTH, Board, Line, boards, render

__all__ = ["FORMATS", "LAYOUTS", "WIDTH", "Board", "Line", "boards", "render"]
