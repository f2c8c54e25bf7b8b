"""What a method costs: operations, latency, memory; measured here, or read from a report."""

from survbench.report.cost.pareto import Tradeoff, pareto
from survbench.report.cost.rows import CostReport, CostRow, committed, read_report, series

__all__ = [
    "CostReport",
    "CostRow",
    "Tradeoff",
    "committed",
    "pareto",
    "read_report",
    "series",
]
