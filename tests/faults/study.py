"""A small run that is disturbed, and what it must come to all the same."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from survbench.bench.cell import find_cells
from survbench.bench.disk import WORK, sweep
from survbench.bench.plan import Plan, Request, make_plan
from survbench.cli import main
from survbench.cohort.demo import simulate
from survbench.cohort.folds import make_folds, write_folds
from survbench.cohort.write_folder import write_cohort
from tests.bench.conftest import run_here
from tests.bench.fakes import FAULT, LOG, announce

CLOCK = "SURVBENCH_TEST_CLOCK"  # set: the clock goes back an hour whenever it is looked at
BACKWARDS = f"""import itertools, os, time
if "{CLOCK}" in os.environ:
    now, looks = time.time(), itertools.count()
    time.time = lambda: now - 3600 * next(looks)
    time.time_ns = lambda: int(time.time() * 1e9)
"""
ROOT = Path(__file__).resolve().parents[2]
MISSING = ("G", "P@0.4")
OWN_TIME = ("cell.json", "SHA256SUMS")  # hold seconds and memory: never the same twice
# Says when Ctrl-C has become the command's own affair: before, it is Python's.
COMMAND = (
    "import signal, sys; from survbench.cli import main; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background job is born deaf
    "print('ready', flush=True); "
    "sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Study:
    """Several methods on 60 simulated patients in three folds.

    Parameters
    ----------
    folder : Path
        Holds the cohort, its splits, the announced methods and the undisturbed results.
    methods : tuple of str
        What is run.
    by_command : bool
        Whether in processes of their own, as users do, or in this one, which is quicker.
    changes : tuple of str
        Changes of their configs, to be quick.
    folds : tuple of int
        Which folds.
    """

    folder: Path
    methods: tuple[str, ...]
    by_command: bool
    changes: tuple[str, ...] = ()
    folds: tuple[int, ...] = (0, 1, 2)

    @property
    def cohort(self) -> Path:
        """Cohort folder."""
        return self.folder / "small"

    @property
    def splits(self) -> Path:
        """Folds of the cohort."""
        return self.folder / "three.csv"

    def plan(self, results: Path, **options: object) -> Plan:
        """What there is to do in a results folder."""
        request = Request(
            self.methods,
            MISSING,
            str(self.cohort),
            str(self.splits),
            folds=self.folds,
            preset="quick",
            changes=self.changes,
            device="cpu",
            results=results,
        )
        return make_plan(replace(request, **options))  # type: ignore[arg-type]

    def command(self, results: Path, *options: str) -> list[str]:
        """Command line of the run, for another process."""
        words = ["run", "--cohort", str(self.cohort), "--splits", str(self.splits)]
        words += ["--folds", ",".join(map(str, self.folds)), "--preset", "quick"]
        words += ["--method", ",".join(self.methods), "--missing", ",".join(MISSING)]
        words += [word for change in self.changes for word in ("--set", change)]
        words += ["--device", "cpu", "--results", str(results), *options]
        return [sys.executable, "-c", COMMAND, *words]

    def environment(self, **extra: str) -> dict[str, str]:
        """Environment of that process: the fakes are announced there too."""
        path = os.pathsep.join([str(self.folder / "site"), str(ROOT)])
        return os.environ | {"PYTHONPATH": path} | extra

    def finish(self, results: Path) -> str:
        """Resume a run and let it end; gives what went wrong."""
        if not self.by_command:
            run_here(plan := self.plan(results, retry_failed=True))
            sweep(results / WORK)
            return "; ".join(plan.failures())
        made = subprocess.run(
            self.command(results, "--retry-failed"),
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if made.returncode == 0 else f"exit code {made.returncode}: {made.stderr[-300:]}"

    @property
    def undisturbed(self) -> Path:
        """Results of the run that nobody disturbs."""
        return self._undisturbed[0]

    @property
    def seconds(self) -> float:
        """How long that run took."""
        return self._undisturbed[1]

    @cached_property
    def _undisturbed(self) -> tuple[Path, float]:
        results = self.folder / ("by_command" if self.by_command else "here")
        begin = time.monotonic()
        if wrong := self.finish(results):
            raise RuntimeError(wrong)
        return results, time.monotonic() - begin

    def lost(self, results: Path) -> str:
        """First thing that is not as in the undisturbed results; empty for nothing."""
        wanted, there = kept(self.undisturbed), kept(results)
        for name in sorted(wanted.keys() | there.keys()):
            if name not in there:
                return f"{name} is gone"
            if wanted.get(name) != there[name]:
                return f"{name} {'differs' if name in wanted else 'should not be there'}"
        for cell in find_cells(results):
            cell.verify()
        return ""

    def lost_on_board(self, results: Path) -> str:
        """What is lost, the leaderboard included, which must be equal byte for byte."""
        return self.lost(results) or ("" if board(results) == self.board else "another leaderboard")

    @cached_property
    def board(self) -> str:
        """Leaderboard of the undisturbed results."""
        return board(self.undisturbed)


def kept(results: Path) -> Mapping[str, bytes]:
    """Every file of a results folder, temporary ones too; of those that hold times the name."""
    return {
        str(path.relative_to(results)): b"" if path.name in OWN_TIME else path.read_bytes()
        for path in results.rglob("*")
        if path.is_file()
    }


def settled(results: Path) -> Mapping[str, bytes]:
    """Files of a results folder that are there for good."""
    return {name: text for name, text in kept(results).items() if not name.startswith(WORK)}


def told(*words: str) -> tuple[int, str, str]:
    """Exit code, output and messages of a command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return code, out.getvalue(), err.getvalue()


def board(results: Path) -> str:
    """Leaderboard of a results folder as CSV, or the error there is instead."""
    code, out, err = told("leaderboard", "--results", str(results), "--format", "csv")
    return out if code == 0 else err


@contextlib.contextmanager
def study(folder: Path, *, full: bool) -> Iterator[tuple[Study, Study]]:
    """A study for this process, and one for the command line; `full` has real methods in it."""
    cohort = simulate("demo", n=60)
    info = replace(cohort.info, truth=None, default_splits=None, embedded=False)
    write_cohort(replace(cohort, name="small", info=info), folder / "small")
    write_folds(make_folds(cohort.cases, 3, name="three"), folder / "three.csv")
    announce(folder / "site")
    (folder / "site" / "sitecustomize.py").write_text(BACKWARDS)
    before = os.environ | {}
    os.environ.update({LOG: os.devnull, "OMP_NUM_THREADS": "1"})
    os.environ.pop(FAULT, None)
    sys.path.insert(0, str(folder / "site"))
    try:
        fakes = Study(folder, ("plain", "needs_p", "unsaved"), by_command=False, folds=(0,))
        real = ("cox", "switch", "clinical", "snn", "abmil") if full else ("clinical", "needs_p")
        quick = ("snn.epochs=1", "abmil.epochs=1") if full else ()
        yield fakes, Study(folder, real, by_command=True, changes=quick)
    finally:
        sys.path.remove(str(folder / "site"))
        os.environ.clear()
        os.environ.update(before)
