"""Accuracy against cost: which methods nothing else beats in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from survbench.report.cost.rows import CostRow

__all__ = ["Tradeoff", "pareto"]


@dataclass(frozen=True)
class Tradeoff:
    """One method's C-index and cost.

    Parameters
    ----------
    method : str
        Name of the method.
    cost, c_index : float
        Less and more are better.
    best : bool
        Whether no other method is as cheap and as good, and better in one of them.
    """

    method: str
    cost: float
    c_index: float
    best: bool


def pareto(
    rows: Sequence[CostRow],
    c_index: Mapping[str, float],
    cost: str = "median_ms",
    *,
    patches: int,
    regime: str = "none",
) -> list[Tradeoff]:
    """C-index and cost of each method that has both, cheapest first.

    Parameters
    ----------
    rows
        Of one device and preset.
    c_index
        Of each method under the same regime, such as from leaderboard rows.
    cost
        A field of CostRow: median_ms, flops, host_extra_mib.
    patches
        Size of patient whose cost is taken.
    regime
        What the patients lack.
    """
    found = {
        row.method: float(value)
        for row in rows
        if row.patches == patches
        and row.regime == regime
        and (value := getattr(row, cost)) is not None
        and math.isfinite(c_index.get(row.method, math.nan))
    }
    ordered = sorted(found, key=lambda method: (found[method], -c_index[method]))
    points: list[Tradeoff] = []
    for method in ordered:
        beaten = any(
            found[other] <= found[method]
            and c_index[other] >= c_index[method]
            and (found[other] < found[method] or c_index[other] > c_index[method])
            for other in ordered
        )
        points.append(Tradeoff(method, found[method], c_index[method], not beaten))
    return points
