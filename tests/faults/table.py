"""Every fault that is tried: the promise, how often, and what it cost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from tests.faults import damage, signals, strikes, surroundings
from tests.faults.study import Study

Attempts = Callable[[Study, Path, int], list[str]]
QUICK, SLOW, COMMAND = "quick", "slow", "command"


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Parameters
    ----------
    kind : str
        What happens.
    promise : str
        What holds all the same.
    attempts : callable
        (study, folder, how often) to what each try cost, empty for nothing.
    often : int
        How often it is tried by `python -m tests.faults`.
    few : int
        How often by the tests.
    how : str
        QUICK: parts of the command in a process, in the default tests; SLOW: in the slow ones;
        COMMAND: there too, and with real methods by `python -m tests.faults`.
    """

    kind: str
    promise: str
    attempts: Attempts
    often: int
    few: int
    how: str = QUICK


SAME = "resumed, files and leaderboard are those of an undisturbed run, byte for byte"
LEFT = "the run ends with one line that says what to do; " + SAME
FAULTS = (
    Fault("kill -9 of the run, random moments", SAME, signals.kills_of_runs, 50, 3, COMMAND),
    Fault("kill -9 before a write", SAME, strikes.kills_at_steps, 40, 4),
    Fault("disk full, broken, read-only at a write", LEFT, strikes.refusals_at_steps, 40, 4),
    Fault("disk full in the middle of a file", LEFT, strikes.limits, len(strikes.LIMITS), 2),
    Fault(
        "read-only results, all or a part",
        f"one line, nothing changed; made writable and {SAME}",
        surroundings.read_only,
        len(surroundings.PLACES),
        1,
        SLOW,
    ),
    Fault(
        "Ctrl-C, random moments",
        f"exit code 130, says that the same command continues, no worker lives on; {SAME}",
        signals.interrupts,
        10,
        1,
        COMMAND,
    ),
    Fault(
        "SIGTERM, random moments",
        f"no worker lives on; {SAME}",
        signals.terminations,
        10,
        1,
        COMMAND,
    ),
    Fault(
        "kill -9 of a worker, random moments",
        f"the run goes on and names what failed; with --retry-failed {SAME}",
        signals.kills_of_workers,
        20,
        3,
        COMMAND,
    ),
    Fault(
        "two and eight runs at once",
        f"all end well and alike; {SAME}",
        signals.crowds,
        len(signals.CROWDS),
        1,
        COMMAND,
    ),
    Fault(
        "worker out of memory",
        f"kept as failed, the others go on; with --retry-failed {SAME}",
        surroundings.out_of_memory,
        3,
        1,
    ),
    Fault(
        "worker hangs",
        f"ended after --timeout and kept as failed; with --retry-failed {SAME}",
        surroundings.hangs,
        3,
        1,
        SLOW,
    ),
    Fault(
        "file of the results damaged or gone",
        f"refused, never another number; with what it says deleted, {SAME}",
        damage.damages,
        len(damage.CASES),
        8,
    ),
    Fault(
        "cohort changed under finished results",
        "refused with what to do, or another setting; what is finished stays",
        surroundings.changed_cohorts,
        len(surroundings.COHORTS),
        3,
    ),
    Fault("clock goes backwards", f"no time is negative; {SAME}", surroundings.clocks, 3, 1, SLOW),
)


def tried(fault: Fault, studies: tuple[Study, Study], times: int) -> list[str]:
    """What each try of a fault cost; empty for nothing."""
    with tempfile.TemporaryDirectory() as folder:
        return fault.attempts(studies[fault.how == COMMAND], Path(folder), times)


def render(rows: Iterable[tuple[Fault, list[str]]]) -> str:
    """Table of faults: how often tried, how often something was lost, and what."""
    cells = [
        (fault.kind, len(lost), sum(map(bool, lost)), "; ".join(filter(None, lost)) or "nothing")
        for fault, lost in rows
    ]
    total = ("all", sum(cell[1] for cell in cells), sum(cell[2] for cell in cells), "")
    return tabulate([*cells, total], headers=("fault", "tried", "broken", "what was lost"))
