"""Numbers to what people read: leaderboard rows and their tables."""

from survbench.report.files import render_files, score_files
from survbench.report.leaderboard import leaderboard
from survbench.report.published import published
from survbench.report.row import Row
from survbench.report.tables import boards, render

__all__ = [
    "Row",
    "boards",
    "leaderboard",
    "published",
    "render",
    "render_files",
    "score_files",
]
