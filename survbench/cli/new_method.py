"""`survbench new-method`: the skeleton of a method that runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("new-method")
@click.argument("name")
@click.option("--package", is_flag=True, help="A package of its own, in a folder made here.")
@click.option("--estimator", is_flag=True, help="An estimator without torch rather than a net.")
def new_method(name: str, package: bool, estimator: bool) -> None:
    """Write a new method that runs and keeps every promise, for you to change."""
    from survbench.scaffold import checkout
    from survbench.scaffold import new_method as skeleton_of

    root = Path() if package else checkout()
    skeleton = skeleton_of(name, estimator=estimator, package=package, root=root)
    for path in skeleton.write():
        print(f"wrote {path}")
    print("next:")
    for step in skeleton.steps:
        print(f"  {step}")
