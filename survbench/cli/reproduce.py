"""`survbench reproduce`: a recorded cell once more."""

from __future__ import annotations

from pathlib import Path

import click

from survbench.cli.console import DONE, FAILED


@click.command()
@click.argument("cell", type=Path)
@click.option("--cohort", help="Cohort folder, where the cohort does not come with survbench.")
@click.option("--splits", help="Splits, where those of the record's name are not the ones.")
@click.option("--tolerance", type=float, help="Of risk and survival, where versions differ.")
def reproduce(cell: Path, cohort: str | None, splits: str | None, tolerance: float | None) -> int:
    """Make a recorded CELL (the folder of cell.json) again and compare its predictions.

    With the versions and the hardware of the record they must be equal bit by bit, else within a
    tolerance; what differs is named.
    """
    from survbench.bench.reproduce import TOLERANCE
    from survbench.bench.reproduce import reproduce as make_again

    allowed = TOLERANCE if tolerance is None else tolerance
    made = make_again(cell, cohort=cohort, splits=splits, tolerance=allowed)
    print(f"{made.cell.place}")
    if made.changed:
        print(f"not the versions and hardware of the record: compared within {made.tolerance:g}")
        for line in made.changed:
            print(f"  {line}")
    else:
        print("the versions and hardware of the record: compared bit by bit")
    for regime, difference in made.differences.items():
        same = f"{made.patients[regime]} patients equal" if regime in made.patients else "refused"
        print(f"{regime}: {difference or same}")
    print("reproduced" if made.equal else "NOT reproduced")
    return DONE if made.equal else FAILED
