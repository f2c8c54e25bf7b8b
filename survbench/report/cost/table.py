"""A cost report as a text table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from survbench.report.cost.rows import CostReport, CostRow

__all__ = ["line_of", "render_report"]

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_SHOWN = 3  # uncounted operators in the table; all are in the JSON
NONE = "-"
HEADER = (
    "method",
    "missing",
    "patches",
    "width",
    "params",
    "FLOP",
    "MAC",
    "first ms",
    "ms",
    "p95 ms",
    "per s",
    "host MiB",
    "extra",
    "GPU MiB",
    "step ms",
)


def render_report(report: CostReport) -> str:
    """The table, what its columns mean, why numbers are missing; ends with a newline."""
    body = [_cells(row) for row in report.rows]
    align = ["left", "left", *["right"] * (len(HEADER) - 2)]
    table = tabulate(body, HEADER, "simple", colalign=align, disable_numparse=True)
    parts = [_title(report), "", table, "", *_notes(report), *_reasons(report.rows)]
    return "\n".join([*parts, *_uncounted(report.rows)]) + "\n"


def line_of(row: CostRow) -> str:
    """One row in one line, for progress."""
    what = row.outcome or f"{_number(row.median_ms)} ms, {_short(row.flops)} FLOP"
    return f"{row.method}, {row.patches} patches x {row.width}, missing {row.regime}: {what}"


def _title(report: CostReport) -> str:
    machine = report.machine
    model = machine.get("gpu") if machine.get("device") != "cpu" else machine.get("cpu")
    extra = [f"driver {machine['driver']}"] if "driver" in machine else []
    told = {"cpu_mhz": "MHz (CPU)", "gpu_mhz": "(GPU)"}
    extra += [f"{machine[key]} {unit}" for key, unit in told.items() if key in machine]
    versions: Mapping[str, str] = machine.get("versions", {})
    extra += [f"{name} {versions[name]}" for name in ("survbench", "torch") if name in versions]
    threads = f"{machine.get('threads')} threads of {machine.get('cores')} cores"
    return ", ".join([f"{model}", threads, str(machine.get("dtype")), *extra])


def _cells(row: CostRow) -> list[str]:
    mark = f" {row.mark}" if row.mark else ""
    start = [row.method, f"{row.regime}{mark}", f"{row.patches:,}", str(row.width)]
    if row.outcome:
        told = NONE if row.outcome == "refused" else row.outcome
        return [*start, *[NONE] * 4, told, *[NONE] * (len(HEADER) - 9)]
    step = f"{_number(row.step_ms)} / {row.step_patients}" if row.step_ms is not None else NONE
    return [
        *start,
        _short(row.parameters),
        _short(row.flops),
        _short(row.macs),
        *(_number(value) for value in (row.first_ms, row.median_ms, row.p95_ms)),
        _number(row.patients_per_second),
        *(_number(value) for value in (row.host_mib, row.host_extra_mib, row.device_mib)),
        step,
    ]


def _notes(report: CostReport) -> list[str]:
    protocol = report.protocol
    notes = [
        f"FLOP, MAC: of one patient; {protocol.get('flops_are')}",
        f"ms: {protocol.get('latency_is')}; p95 ms needs 20 warm calls",
        "per s: patients of the largest batch that memory and time allow, predicted together",
        f"host MiB, GPU MiB: {protocol.get('memory_is')}; extra: above what it held before",
        f"step ms: time / patients, slowest stage of training; {protocol.get('training_is')}",
        f"Methods: preset {protocol.get('preset')}, fitted on {protocol.get('fitted_on')}; gene "
        f"groups of {', '.join(str(width) for width in protocol.get('gene_widths', ()))} columns",
        "*: what is missing was filled in; -: refused or not measured",
    ]
    return [note for note in notes if note]


def _reasons(rows: Sequence[CostRow]) -> list[str]:
    """Why rows or quantities have no numbers, each reason once with its methods."""
    who: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.outcome:
            text = row.reason.replace(row.method, "the method")
            who.setdefault(f"missing {row.regime}: {row.outcome}, {text}", {})[row.method] = None
        for quantity, reason in row.missing.items():
            if row.regime == "none" or quantity != "training":
                who.setdefault(f"{quantity}: {reason}", {})[row.method] = None
    return [f"{reason} ({', '.join(methods)})" for reason, methods in who.items()]


def _uncounted(rows: Sequence[CostRow]) -> list[str]:
    """Of each method, its largest row: the operators that ran uncounted."""
    largest: dict[str, CostRow] = {}
    for row in rows:
        total = sum(each["elements"] for each in row.uncounted)
        if row.uncounted and total >= sum(
            each["elements"] for each in largest.get(row.method, row).uncounted
        ):
            largest[row.method] = row
    if not largest:
        return []
    lines = ["", "Ran uncounted (elements): the largest, and whatever does more than a few"]
    lines[-1] += " operations per element (!)"
    return [*lines, *(_census(row) for row in largest.values())]


def _census(row: CostRow) -> str:
    heavy = [each for each in row.uncounted if not each["simple"]]
    light = [each for each in row.uncounted if each["simple"]][:_SHOWN]
    told = [f"{each['operator']}! {_short(each['elements'])}" for each in heavy]
    told += [f"{each['operator']} {_short(each['elements'])}" for each in light]
    return f"{row.method} ({row.regime}, {row.patches:,} patches): {', '.join(told)}"


def _short(value: float | None) -> str:
    """Number with a unit, three digits."""
    if value is None:
        return NONE
    for size, unit in _UNITS:
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:g}"


def _number(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
