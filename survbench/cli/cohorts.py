"""`survbench cohort`: build, check and show cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from survbench.cli.console import DONE, FAILED, Command, Commands, listed, say
from survbench.errors import InputError


@click.group(cls=Commands)
def cohort() -> None:
    """Build, check and show cohorts."""


@cohort.command("list")
def list_cohorts_() -> None:
    """List the cohorts that come with survbench."""
    from survbench.cohort.catalogue import list_cohorts, load_cohort

    for name in list_cohorts():
        known = load_cohort(name)
        print(f"{name:14} {len(known):4} patients, {known.event.sum():4} deaths: {known.info.note}")


@cohort.command()
@click.argument("source")
def show(source: str) -> None:
    """Show what a cohort (a name or a folder) holds."""
    from survbench.cohort.catalogue import load_cohort
    from survbench.cohort.description import describe

    for key, value in describe(load_cohort(source)).items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, inner in value.items():
                print(f"  {name}: {_flat(inner)}")
        else:
            print(f"{key}: {_flat(value)}")


@cohort.command()
@click.argument("source")
@click.option("--splits", help="Name, CSV file or MCAT folder; default: as the cohort says.")
@click.option("--out", type=Path, help="Write it as JSON, such as leaderboards/NAME.card.json.")
def card(source: str, splits: str | None, out: Path | None) -> None:
    """Describe a cohort (a name or a folder) without any patient's data: flow, outcome, sites."""
    from survbench.cohort.catalogue import load_cohort
    from survbench.cohort.folds import read_splits
    from survbench.report.cards import cohort_card, render_card, write_card

    known = load_cohort(source)
    named = splits or known.info.default_splits
    if named is None:
        msg = f"cohort {known.name!r} names no splits; give --splits"
        raise InputError(msg)
    made = cohort_card(known, read_splits(named))
    print(render_card(made), end="")
    if out is not None:
        write_card(made, out)


def _flat(value: object) -> str:
    """Value on one line."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_flat(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


@cohort.command()
@click.argument("folder", type=Path)
def check(folder: Path) -> int:
    """Hash and look through everything in a cohort folder."""
    from survbench.cohort.folder import check_cohort, read_index

    read_index(folder)
    found = check_cohort(folder)
    for line in found:
        say(f"wrong: {line}")
    if not found:
        print(f"{folder}: sound")
    return FAILED if found else DONE


def _build_options(command: Command) -> Command:
    """Options of `cohort build`, as parameters of `survbench.cohort.build.build_cohort`."""
    options = [
        click.option("--table", required=True, help="Survival and genomics, MCAT or PORPOISE CSV."),
        click.option("--signatures", help="Gene groups, one column each."),
        click.option("--patches", help="Packed .h5, or folder of slide features."),
        click.option("--patch-format", help="auto, h5, pt or packed."),
        click.option("--slide-index", help="CSV with case_id and slide_id."),
        click.option("--frozen-slides", is_flag=True, help="Keep slides of frozen tissue too."),
        click.option("--standardise", multiple=True, help="Bag modalities to standardise."),
        click.option("--encoder", default="", help="Patch encoder."),
        click.option("--encoder-saw-tcga", default="unknown", help="yes, no or unknown."),
        click.option("--preprocessing", "cohort_level_preprocessing", default=""),
        click.option("--provenance", default="", help="Where the data come from."),
        click.option("--note", default="", help="Said wherever the cohort is shown."),
        click.option("--endpoint", default="overall survival", show_default=True),
        click.option("--time-column", default="survival_months", show_default=True),
        click.option("--censor-column", default="censorship", show_default=True),
        click.option("--ignore", multiple=True, help="Columns that are no measurements."),
        click.option("--horizon", "horizon_months", type=float, help="Months of Uno's C and AUC."),
        click.option("--splits", "default_splits", help="Default splits: a name or a file."),
        click.option("--name", help="Name of the cohort; default: the folder's."),
        click.option("--force", is_flag=True, help="Replace an existing cohort folder."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cohort.command()
@click.argument("folder", type=Path)
@_build_options
def build(folder: Path, **options: Any) -> None:
    """Build a cohort folder from a table, gene groups and patch features."""
    from survbench.cohort.build import build_cohort
    from survbench.cohort.folds import read_splits

    for name in ("standardise", "ignore"):
        options[name] = listed(options[name])
    if options["default_splits"] is not None:
        folds = read_splits(options["default_splits"]).fold
        options["folds"] = {str(case): int(fold) for case, fold in folds.items()}
    for line in build_cohort(folder, **options).lines():
        print(line)
