"""Cost reports written by hand."""

from typing import Any

from survbench.report.cost import CostReport, CostRow

MACHINE = {
    "device": "cpu",
    "cpu": "Abacus 3000",
    "threads": 2,
    "cores": 4,
    "dtype": "float32",
    "cpu_mhz": 2500.0,
    "versions": {"survbench": "0.1.0", "torch": "2.13.0"},
}
PROTOCOL = {
    "preset": "standard",
    "flops_are": "2 per multiply-add",
    "latency_is": "predict",
    "memory_is": "peak",
    "training_is": "one step",
    "fitted_on": "noise",
    "gene_widths": [3, 4],
}


def row(method: str = "abmil", patches: int = 1000, regime: str = "none", **values: Any) -> CostRow:
    """A row with no number but those given."""
    return CostRow(method, "standard", "cpu", patches, 1024, regime, **values)


def report(*rows: CostRow) -> CostReport:
    """A report of these rows."""
    return CostReport(MACHINE, PROTOCOL, rows)
