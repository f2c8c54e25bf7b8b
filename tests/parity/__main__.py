"""Check parity fixtures: `python -m tests.parity FILE.npz...`.

Exit code 0: all outputs agree; 1: some do not; 2: a file nobody can check.
"""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from tests.parity.fixture import UnknownFixtureError, compare, read_fixture


def check(path: Path) -> int:
    """Print one line per output of a fixture; gives the exit code."""
    try:
        fixture = read_fixture(path)
        differences = compare(fixture)
    except UnknownFixtureError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except Exception as error:  # a checker that stumbles over one file must not hide the others
        traceback.print_exc()
        click.echo(f"{path.name}: FAIL  {type(error).__name__}: {error}")
        return 1
    for difference in differences:
        click.echo(f"{path.name}: {difference}")
    return 0 if all(difference.good for difference in differences) else 1


def main(files: Sequence[str]) -> int:
    """Check every file; gives the worst exit code."""
    if not files:
        click.echo("usage: python -m tests.parity FILE.npz...", err=True)
        return 2
    torch.set_num_threads(1)
    return max(check(Path(file)) for file in files)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
