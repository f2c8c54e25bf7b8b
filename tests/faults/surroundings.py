"""What a run stands on changes: its cohort, the clock, the rights to its folder, the memory."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

from survbench.bench.cell import find_cells
from survbench.bench.disk import WORK
from survbench.bench.ground import Source
from survbench.bench.reproduce import reproduce
from survbench.cohort.demo import simulate
from survbench.cohort.write_folder import write_cohort
from survbench.errors import CohortError, InputError
from tests.bench.conftest import run_here
from tests.bench.fakes import FAULT
from tests.faults.study import CLOCK, Study, board, kept

DROP = 24  # prctl(PR_CAPBSET_DROP): from the next program on even root may not do it
WRITE_ANYWHERE, READ_ANYWHERE = 1, 2  # numbers of the capabilities
LATER = 4e9  # a time stamp of the year 2096
LONGEST_FIT = 600.0
CHANGED = "changed since the cohort was built; restore it or build the cohort again"


def changed_cohorts(study: Study, folder: Path, tries: int) -> list[str]:
    """What a change of the cohort under finished results cost, file by file, and as a whole."""
    return [attempt(study, folder / str(n)) for n, attempt in enumerate(COHORTS[:tries])]


def _moved(study: Study, folder: Path) -> tuple[Study, Path]:
    """The study and its finished results at another place."""
    shutil.copytree(study.cohort, folder / "small")
    shutil.copy(study.splits, folder / "three.csv")
    results = folder / "results"
    shutil.copytree(study.undisturbed, results)
    return replace(study, folder=folder), results


def _changed_file(study: Study, folder: Path, *, name: str, cut: bool) -> str:
    there, results = _moved(study, folder)
    path = there.cohort / name
    text, times = path.read_bytes(), path.stat()
    path.write_bytes(text[:-1] if cut else text[:-2] + bytes([text[-2] ^ 1]) + text[-1:])
    before = kept(results)
    try:
        there.plan(results)
    except CohortError as error:
        told = str(error)
    else:
        return "it was not noticed"
    if not told.endswith(f"{name} {CHANGED}"):
        return f"says {told!r}"
    path.write_bytes(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    if there.plan(results).todo or kept(results) != before:
        return "with the cohort restored something is to be done"
    return "" if board(results) == study.board else "another leaderboard"


def _other_cohort(study: Study, folder: Path) -> str:
    """Another cohort of the same name: its results stand beside the finished ones, not in them."""
    there, results = _moved(study, folder)
    before, old = kept(results), find_cells(results)
    begun = Source(str(there.cohort), str(there.splits))
    hashes = begun.ground.cohort.info.data_hash, begun.ground.split_hash
    cohort = simulate("demo", n=60, seed=1)
    info = replace(cohort.info, truth=None, default_splits=None, embedded=False)
    write_cohort(replace(cohort, name="small", info=info), there.cohort, force=True)
    worker = _refusal(lambda: Source(begun.cohort, begun.splits).load(*hashes))
    if not worker.endswith("changed during the run; run again"):
        return f"a worker says {worker!r}"
    again = _refusal(lambda: reproduce(old[0].folder, cohort=begun.cohort, splits=begun.splits))
    if "has hash" not in again or "give the folder it was made on" not in again:
        return f"reproduce says {again!r}"
    plan = there.plan(results)
    if plan.settings & {cell.setting for cell in old}:
        return "it shares a setting"
    run_here(plan)
    now = kept(results)
    return "" if before.items() <= now.items() else "what was finished has changed"


COHORTS: Sequence[Callable[[Study, Path], str]] = (
    _other_cohort,
    *(
        partial(_changed_file, name=name, cut=cut)
        for name in ("P.h5", "G.h5", "cases.csv")
        for cut in (False, True)
    ),
)


def _refusal(attempt: Callable[[], object]) -> str:
    """Why something is refused; empty where it is not."""
    try:
        attempt()
    except InputError as error:
        return str(error)
    return ""


def _run(
    study: Study, results: Path, minutes: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command of a study with one worker and a timeout, in a changed environment."""
    return subprocess.run(
        study.command(results, "--jobs", "1", "--timeout", minutes),
        env=study.environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def clocks(study: Study, folder: Path, tries: int) -> list[str]:
    """What a clock cost that goes back an hour at each look, with finished files of the future."""
    return [_clock(study, folder / str(number)) for number in range(tries)]


def _clock(study: Study, results: Path) -> str:
    half = replace(study, methods=study.methods[:1])
    run_here(half.plan(results))
    (results / WORK / "of-the-dead").mkdir(parents=True)
    for path in results.rglob("*"):
        os.utime(path, (LATER, LATER))
    made = _run(study, results, minutes="10", **{CLOCK: "back"})
    if made.returncode:
        return f"exit code {made.returncode}: {made.stderr[-300:]}"
    for cell in find_cells(results):
        if not 0 <= cell.record.get("seconds", 0) < LONGEST_FIT:
            return f"{cell} took {cell.record['seconds']} s"
    return study.lost_on_board(results)


def out_of_memory(study: Study, folder: Path, tries: int) -> list[str]:
    """What a fit cost that asks for more memory than there is."""
    return [_out_of_memory(study, folder / str(number)) for number in range(tries)]


def _out_of_memory(study: Study, results: Path) -> str:
    with mock.patch.dict(os.environ, {FAULT: "plain/0=memory"}):
        run_here(plan := study.plan(results))
    failures = plan.failures()
    if len(failures) != 1 or "MemoryError" not in failures[0]:
        return f"kept as failed: {failures}"
    if study.plan(results).todo:
        return "it is tried again unasked"
    return study.finish(results) or study.lost_on_board(results)


def hangs(study: Study, folder: Path, tries: int) -> list[str]:
    """What a fit cost that never ends, under --timeout."""
    return [_hang(study, folder / str(number)) for number in range(tries)]


def _hang(study: Study, results: Path) -> str:
    made = _run(study, results, minutes="0.05", **{FAULT: "plain/0=hang"})
    if made.returncode != 1 or "took longer than 0.05 minutes" not in made.stderr:
        return f"exit code {made.returncode}: {made.stderr[-300:]}"
    return study.finish(results) or study.lost_on_board(results)


def read_only(study: Study, folder: Path, tries: int) -> list[str]:
    """What a results folder cost that may not be written: all of it, or a part."""
    return [_read_only(study, folder / str(n), place) for n, place in enumerate(PLACES[:tries])]


PLACES = ("small", "small/plain", ".")


def _read_only(study: Study, results: Path, place: str) -> str:
    shutil.copytree(study.undisturbed, results)
    for method in study.methods[1:]:
        shutil.rmtree(results / "small" / method)
    if place == "small/plain":
        shutil.rmtree(next(results.glob("small/plain/*")))
    before, shown = kept(results), board(results)
    (results / place).chmod(0o500)
    try:
        made = _without_rights(study.command(results, "--jobs", "1"), study)
        seen = board(results)
    finally:
        (results / place).chmod(0o700)
    last = made.stderr.splitlines()[-1:]
    if made.returncode not in {1, 2} or "Traceback" in made.stderr:
        return f"exit code {made.returncode}: {made.stderr[-300:]}"
    if not last or not last[0].startswith("error: ") or "writ" not in last[0]:
        return f"says {last}"
    now = kept(results)
    if not before.items() <= now.items() or (place == "small/plain" and seen != shown):
        return "what was finished has changed"
    return study.finish(results) or study.lost_on_board(results)


def _without_rights(command: list[str], study: Study) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody who may write only where it is allowed, even if that is root."""
    libc = ctypes.CDLL(None)

    def drop() -> None:
        for number in (WRITE_ANYWHERE, READ_ANYWHERE):
            libc.prctl(DROP, number, 0, 0, 0)

    return subprocess.run(
        command,
        env=study.environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=drop if os.geteuid() == 0 else None,
    )
