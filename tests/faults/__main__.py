"""Try every fault as often as the table says: `python -m tests.faults [WORD...]`.

With words, only the faults whose kind contains one of them. Takes about half an hour on two cores.
Exit code 0: nothing was lost; 1: something was.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from tests.faults.study import study
from tests.faults.table import FAULTS, render, tried


def main(words: Sequence[str]) -> int:
    """Try the faults, print each as it ends and the table at last; gives the exit code."""
    chosen = [fault for fault in FAULTS if not words or any(word in fault.kind for word in words)]
    rows = []
    with tempfile.TemporaryDirectory() as folder, study(Path(folder), full=True) as studies:
        for fault in chosen:
            begin = time.monotonic()
            lost = tried(fault, studies, fault.often)
            rows.append((fault, lost))
            seconds = time.monotonic() - begin
            click.echo(f"{fault.kind}: {len(lost)} tried in {seconds:.0f} s", err=True)
    click.echo(render(rows))
    return int(any(any(lost) for _, lost in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
