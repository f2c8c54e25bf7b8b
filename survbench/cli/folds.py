"""`survbench splits`: make and check folds."""

from __future__ import annotations

from pathlib import Path

import click

from survbench.cli.console import DONE, FAILED, Commands
from survbench.errors import InputError


@click.group(cls=Commands)
def splits() -> None:
    """Make and check folds."""


@splits.command("list")
def list_splits_() -> None:
    """List the folds that come with survbench."""
    from survbench.cohort.folds import list_splits, read_splits

    for name in list_splits():
        folds = read_splits(name)
        print(f"{name:20} {len(folds):5} cases, {len(folds.numbers)} folds, {folds.hash[:12]}")


@splits.command()
@click.option("--cohort", "source", required=True, help="Name or cohort folder.")
@click.option("--out", type=Path, help="CSV file; default: <cohort>.csv.")
@click.option("--folds", type=int, default=5, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--by-site", is_flag=True, help="Folds that share no tissue source site.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def make(
    source: str,
    out: Path | None,
    folds: int,
    seed: int,
    by_site: bool,
    force: bool,
) -> None:
    """Make folds of a cohort's patients, balanced by event and time, or by site."""
    from survbench.cohort.catalogue import load_cohort
    from survbench.cohort.folds import fold_table, make_folds, make_site_folds, write_folds

    cohort = load_cohort(source)
    name = f"{cohort.name}.site" if by_site else cohort.name
    path = out or Path(f"{name}.csv")
    if path.exists() and not force:
        msg = f"{path} exists; name another file with --out, or replace it with --force"
        raise InputError(msg)
    if by_site:
        made = make_site_folds(cohort.cases, folds=folds, name=path.stem)
    else:
        balance = cohort.paired
        made = make_folds(cohort.cases, folds, name=path.stem, seed=seed, balance=balance)
    write_folds(made, path)
    print(fold_table(made, cohort.cases).to_string())
    print(f"{path}: {len(made)} cases, hash {made.hash[:12]}")


@splits.command("check")
@click.argument("name")
@click.option("--cohort", "source", help="Name or cohort folder; default: the splits' name.")
@click.option("--by-site", is_flag=True, default=None, help="They must share no site.")
def check_splits(name: str, source: str | None, by_site: bool | None) -> int:
    """Check that folds keep their promises for a cohort."""
    from survbench.cohort.catalogue import list_cohorts, load_cohort
    from survbench.cohort.folds import check_folds, read_splits

    folds = read_splits(name)
    if source is None and name not in list_cohorts():
        msg = f"say of which cohort: survbench splits check {name} --cohort FOLDER"
        raise InputError(msg)
    findings = check_folds(folds, load_cohort(source or name).cases, by_site=by_site)
    for finding in findings:
        mark = "ok" if finding.passed else "FAILED" if finding.required else "note"
        print(f"{mark}: {finding.text}")
    broken = any(finding.required and not finding.passed for finding in findings)
    return FAILED if broken else DONE
