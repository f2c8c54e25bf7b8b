"""A cost report: its rows, how it is kept as JSON, and series of it that a plot draws."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any

from survbench.errors import ResultError

__all__ = ["SCHEMA", "CostReport", "CostRow", "committed", "read_report", "series"]

SCHEMA = 1
_KINDS: dict[str, type] = {  # of the fields of a row that are no number
    **dict.fromkeys(("method", "preset", "device", "regime", "mark", "outcome", "reason"), str),
    **dict.fromkeys(("by_operator", "step_ms_by_stage", "missing"), dict),
    "patches": int,
    "width": int,
    "uncounted": list,
}
COMMITTED = "cost"  # folder of measured reports in leaderboards


@dataclass(frozen=True)
class CostRow:
    """What one method costs for one size of patient under one regime; None is not measured.

    Parameters
    ----------
    method, preset, device, regime : str
        What was measured, and what every patient lacks.
    patches, width : int
        Patches of a patient and their width.
    mark : str
        "*" where something missing was filled in, else empty.
    parameters : int or None
        Numbers the method learns.
    flops, macs : int or None
        Of one patient; 2 per multiply-add, and multiply-adds.
    by_operator : mapping of name to int
        FLOPs of each counted operator.
    uncounted : list of mapping
        Operators that ran uncounted: operator, calls, elements, simple.
    first_ms, median_ms, p95_ms : float or None
        One patient: the first call after the fit, then warm; the 95th percentile needs 20 calls.
    calls : int or None
        Warm calls.
    batch : int or None
        Patients predicted together.
    patients_per_second : float or None
        Of such batches.
    device_mib, host_mib, host_extra_mib : float or None
        Peak memory while one patient is predicted: the GPU's, the process', and the process' above
        what it held before.
    step_patients : int or None
        Patients of a training step.
    step_ms : float or None
        An optimiser step of the slowest stage of training.
    step_ms_by_stage : mapping of stage to float
        The same for each stage.
    outcome : str
        Empty, or why the row has no numbers: refused, out of memory, timeout, failed.
    reason : str
        The same in full.
    missing : mapping of quantity to str
        Why latency, flops, throughput or training has no number.
    """

    method: str
    preset: str
    device: str
    patches: int
    width: int
    regime: str
    mark: str = ""
    parameters: int | None = None
    flops: int | None = None
    macs: int | None = None
    by_operator: Mapping[str, int] = field(default_factory=dict)
    uncounted: Sequence[Mapping[str, Any]] = field(default_factory=list)
    first_ms: float | None = None
    median_ms: float | None = None
    p95_ms: float | None = None
    calls: int | None = None
    batch: int | None = None
    patients_per_second: float | None = None
    device_mib: float | None = None
    host_mib: float | None = None
    host_extra_mib: float | None = None
    step_patients: int | None = None
    step_ms: float | None = None
    step_ms_by_stage: Mapping[str, float] = field(default_factory=dict)
    outcome: str = ""
    reason: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CostReport:
    """Measured rows, the machine they were measured on, and how.

    Parameters
    ----------
    machine : mapping
        Device, driver, clocks, threads, dtype, versions.
    protocol : mapping
        Sizes, repeats, limits, and what the numbers mean, in words.
    rows : tuple of CostRow
        In the order of measurement.
    """

    machine: Mapping[str, Any]
    protocol: Mapping[str, Any]
    rows: tuple[CostRow, ...]

    def to_json(self) -> str:
        """The report as JSON text."""
        values = {"schema": SCHEMA, **asdict(self)}
        return json.dumps(values, indent=1, allow_nan=False) + "\n"


def read_report(path: str | Path) -> CostReport:
    """Report that `survbench cost --out` wrote.

    Raises
    ------
    ResultError
        The file is damaged, or newer than this survbench.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        schema = int(values["schema"])
        rows = tuple(_row(row) for row in values["rows"])
        report = CostReport(dict(values["machine"]), dict(values["protocol"]), rows)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        msg = f"{path} is no cost report: {error!r}; write one with 'survbench cost --out {path}'"
        raise ResultError(msg) from error
    if schema > SCHEMA:
        msg = f"{path} has schema {schema}, this survbench reads up to {SCHEMA}; upgrade survbench"
        raise ResultError(msg)
    return report


def _row(values: Mapping[str, Any]) -> CostRow:
    """Row of its JSON; fields this survbench does not know are left out."""
    known = {entry.name for entry in fields(CostRow)}
    row = CostRow(**{name: value for name, value in values.items() if name in known})
    for name in known:
        if not isinstance(getattr(row, name), _KINDS.get(name, (int, float, NoneType))):
            msg = f"{name} is {getattr(row, name)!r}"
            raise TypeError(msg)
    return row


def committed() -> list[Path]:
    """Measured reports that come with survbench, by device."""
    import survbench.leaderboards  # noqa: PLC0415  (a folder of data)

    folder = Path(next(iter(survbench.leaderboards.__path__)), COMMITTED)
    return sorted(folder.glob("*.json"))


def series(
    rows: Iterable[CostRow], value: str, *, regime: str = "none", against: str = "patches"
) -> dict[str, list[tuple[float, float]]]:
    """Points (against, value) of each method, sorted; rows without one of the numbers are left out.

    Parameters
    ----------
    rows
        Of one device and preset.
    value
        A field of CostRow, such as median_ms, host_mib or flops.
    regime
        Whose rows are taken.
    against
        The field on the other axis.

    Examples
    --------
    Latency against patches: ``series(report.rows, "median_ms")``; memory:
    ``series(report.rows, "host_extra_mib")``. For the C-index against cost see `pareto`.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        x, y = getattr(row, against), getattr(row, value)
        if row.regime == regime and x is not None and y is not None:
            points.setdefault(row.method, []).append((float(x), float(y)))
    return {method: sorted(each) for method, each in points.items()}
