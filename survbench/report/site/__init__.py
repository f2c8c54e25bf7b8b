"""A static site of the leaderboards that opens from a file, offline."""

from survbench.report.site.figure import Figure
from survbench.report.site.publish import publish
from survbench.report.site.recovery import recovery
from survbench.report.site.write import write_site

__all__ = ["Figure", "publish", "recovery", "write_site"]
