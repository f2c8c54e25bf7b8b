"""`survbench check`: whether a method keeps the promises."""

from __future__ import annotations

import click

from survbench.cli.console import DONE, FAILED


@click.command()
@click.argument("name")
@click.option("--quick", is_flag=True, help="Leave out the promises that take long.")
def check(name: str, quick: bool) -> int:
    """Put a method to the test: one line for each promise that every method must keep."""
    import time
    from collections import Counter

    from survbench.bench.machine import set_threads

    set_threads(1)  # as in a run, before anything numerical is loaded
    from survbench.check import examine
    from survbench.registry import get_method

    begin, counts = time.monotonic(), Counter[str]()
    for outcome in examine(get_method(name), quick=quick):
        counts[outcome.verdict] += 1
        reason = f": {outcome.reason}" if outcome.reason else ""
        print(f"{outcome.verdict:14}  {outcome.promise.rstrip('.')}{reason}", flush=True)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    print(f"{name}: {told}; {time.monotonic() - begin:.0f} s")
    return FAILED if counts["BROKEN"] else DONE
