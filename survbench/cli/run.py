"""`survbench run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from survbench.cli.console import DONE, FAILED, listed, say, whole_numbers

if TYPE_CHECKING:
    from survbench.bench.plan import Plan


@click.command()
@click.option("--method", "methods", multiple=True, required=True, help="NAME[,NAME] or all.")
@click.option("--missing", multiple=True, help="Test regimes besides none: P, G, P@0.4, ...")
@click.option("--cohort", default="demo", show_default=True, help="Name or cohort folder.")
@click.option("--splits", help="Name, CSV file or MCAT folder; default: as the cohort says.")
@click.option("--folds", multiple=True, help="Default: all.")
@click.option("--seed", "seeds", multiple=True, default=("0",), show_default=True)
@click.option("--population", default="paired", show_default=True, help="paired or all.")
@click.option("--train-missing", default="none", show_default=True, help="Training regime.")
@click.option("--preset", help="quick, standard or paper; default: quick for embedded cohorts.")
@click.option("--set", "changes", multiple=True, help="[METHOD.]key=value of a config; repeat.")
@click.option("--fill", default="", help="zero, zero:N or mean; default: as each method says.")
@click.option("--control", default="none", show_default=True, help="permute: shuffled outcomes.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--jobs", type=int, help="Processes at once; default: cores / threads.")
@click.option("--threads", type=int, default=1, show_default=True, help="Threads of a cell.")
@click.option("--timeout", type=float, metavar="MIN", help="Minutes a cell may take.")
@click.option("--retry-failed", is_flag=True, help="Try kept failures again.")
@click.option("--dry-run", is_flag=True, help="Only list the cells there are to do.")
@click.option("--results", type=Path, default=Path("results"), show_default=True)
def run(
    methods: Sequence[str],
    missing: Sequence[str],
    folds: Sequence[str],
    seeds: Sequence[str],
    changes: Sequence[str],
    dry_run: bool,
    **rest: Any,
) -> int:
    """Fit methods on every fold and predict every regime; finished cells are kept."""
    from survbench.bench.plan import Request, make_plan

    request = Request(
        methods=listed(methods),
        missing=listed(missing),
        folds=whole_numbers("--folds", folds) if folds else None,
        seeds=whole_numbers("--seed", seeds),
        changes=tuple(changes),
        **rest,
    )
    plan = make_plan(request)
    for note in plan.notes:
        say(note)
    if dry_run:
        for task in plan.todo:
            print(f"{task.cell.place}: {', '.join(task.cell.missing(task.regimes))}")
        print(f"{len(plan.todo)} of {len(plan.tasks)} cells to do")
        return DONE
    return _carry_out(plan)


def _carry_out(plan: Plan) -> int:
    """Run a plan, print the table of its own rows and what failed."""
    from survbench.bench.execute import execute
    from survbench.bench.progress import shown

    kept = len(plan.tasks) - len(plan.todo)
    if kept:
        say(f"{kept} of {len(plan.tasks)} cells are there already")
    with shown(sys.stderr, len(plan.todo)) as watcher:
        execute(plan, watcher)
    print(_table(plan), end="")
    failures = plan.failures()
    for failure in failures:
        say(f"failed: {failure}")
    if failures:
        say("try again what failed with --retry-failed")
    return FAILED if failures else DONE


def _table(plan: Plan) -> str:
    """The rows of this run."""
    from survbench.bench.cell import find_cells
    from survbench.report import leaderboard, render
    from survbench.report.control import control_rows, permutations, render_control

    cohort, settings = plan.ground.cohort.name, plan.settings
    if plan.control != "none":
        fits = [fit for fit in find_cells(plan.results, cohort) if fit.setting in settings]
        return render_control(control_rows(permutations(fits)))
    rows = leaderboard(plan.results, cohort=cohort, settings=settings)
    return render([row for row in rows if row.regime in plan.regimes])
