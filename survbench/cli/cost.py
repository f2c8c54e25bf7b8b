"""`survbench cost`: what methods cost, measured here or as reported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from survbench.cli.console import DONE, FAILED, listed, say, whole_numbers
from survbench.errors import InputError

BROKEN = "failed"


@click.command()
@click.option("--method", "methods", multiple=True, help="NAME[,NAME] or all.")
@click.option("--patches", multiple=True, help="Patches of a patient: N[,N].")
@click.option("--width", "widths", multiple=True, default=("1024",), show_default=True)
@click.option("--gene-widths", multiple=True, help="Columns of each gene group; default: BLCA's.")
@click.option(
    "--missing", multiple=True, default=("none,P,G",), show_default=True, help="none, P, G."
)
@click.option("--preset", default="standard", show_default=True, help="Of every method's config.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", type=int, help="Default: one for each core.")
@click.option("--repeats", type=int, default=20, show_default=True, help="Warm calls at most.")
@click.option(
    "--seconds", type=float, default=1.5, show_default=True, help="For warm calls; at least 3."
)
@click.option(
    "--timeout", type=float, default=300.0, show_default=True, help="Seconds a quantity may take."
)
@click.option("--memory", "memory_gib", type=float, help="GiB a process may take; default: free.")
@click.option("--out", type=Path, help="Write the report as JSON, too.")
@click.option("--read", type=Path, help="Show a report instead; without options: those committed.")
@click.option("--dry-run", is_flag=True, help="Only list what would be measured.")
def cost(
    methods: Sequence[str],
    patches: Sequence[str],
    widths: Sequence[str],
    gene_widths: Sequence[str],
    missing: Sequence[str],
    out: Path | None,
    read: Path | None,
    dry_run: bool,
    **rest: Any,
) -> int:
    """Measure FLOPs, latency, memory and training steps of methods, or show a report."""
    if not methods or read is not None:
        return _show(read)
    from survbench.report.cost.request import CostRequest, make_tasks

    if not patches:
        msg = "--patches is missing; write --patches 1000,4000"
        raise InputError(msg)
    genes: dict[str, Any] = {"gene_widths": _gene_widths(gene_widths)} if gene_widths else {}
    request = CostRequest(
        methods=listed(methods),
        patches=whole_numbers("--patches", patches),
        widths=whole_numbers("--width", widths),
        missing=listed(missing),
        **genes,
        **rest,
    )
    tasks, failures = make_tasks(request)
    for failure in failures:
        say(f"left out: {failure}")
    if dry_run:
        cells = [task for each in tasks.values() for task in each]
        for task in cells:
            size = f"{task.sizes.patches} patches x {task.sizes.width}"
            print(f"{task.method}, {size}, missing {task.regime}")
        print(f"{len(cells)} cells")
        return DONE
    return _measure(request, tasks, out)


def _gene_widths(text: Sequence[str]) -> tuple[int, ...]:
    """Columns of each group; several may be equal, unlike the values of other options."""
    parts = [part.strip() for value in text for part in value.split(",")]
    if not all(part.isdecimal() for part in parts):
        msg = f"--gene-widths {','.join(text)}: not whole numbers; write --gene-widths 89,334"
        raise InputError(msg)
    return tuple(int(part) for part in parts)


def _measure(request: Any, tasks: Any, out: Path | None) -> int:
    """Measure, print the table, write the JSON."""
    from survbench.report.cost.request import measure_all
    from survbench.report.cost.table import line_of, render_report

    if out is not None and not out.parent.is_dir():
        msg = f"--out {out}: there is no folder {out.parent}; make it first"
        raise InputError(msg)
    report = measure_all(request, tasks, said=lambda row: say(line_of(row)))
    print(render_report(report), end="")
    if out is not None:
        out.write_text(report.to_json(), encoding="utf-8")
    return FAILED if any(row.outcome == BROKEN for row in report.rows) else DONE


def _show(path: Path | None) -> int:
    """Print one report, or all that come with survbench."""
    from survbench.report.cost import committed, read_report
    from survbench.report.cost.table import render_report

    paths = committed() if path is None else [path]
    if not paths:
        msg = "no report comes with this survbench; measure with --method all --patches 1000,4000"
        raise InputError(msg)
    print("\n".join(render_report(read_report(each)) for each in paths), end="")
    return DONE
