"""The command is killed, interrupted or crowded at random moments, and so are its workers."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from survbench.bench.cell import find_cells
from tests.faults.study import Study, kept, settled

LATEST = 0.6  # of the time of a whole run; the runs after the first one have less to do
BETWEEN = (0.5, 4.0)  # seconds between the deaths of two workers
SOON = 30.0  # seconds within which a worker without a parent must be gone
INTERRUPTED = 130
ENDED = {0, -signal.SIGINT}  # once all is printed Python leaves Ctrl-C to the system
GOODBYE = "interrupted; what is finished stays, the same command continues"
JOBS = ("1", "2")  # of the runs in turn
CROWDS = (2, 8)  # runs at once


@contextlib.contextmanager
def running(study: Study, results: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command at work, in a process group of its own; it is its own business from here on."""
    with subprocess.Popen(
        study.command(results, *options),
        env=study.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        if run.stdout is None or run.stdout.readline() != "ready\n":
            raise RuntimeError(run.stderr and run.stderr.read())
        yield run


def ends_of_runs(study: Study, folder: Path, tries: int, number: int) -> list[str]:
    """What each of so many signals at random moments cost; every run resumes the one before."""
    moments, results = random.Random(number), _new(folder)
    lost: list[str] = []
    for jobs in itertools.cycle(JOBS):
        if len(lost) == tries:
            break
        before = settled(results)
        whole = False
        with running(study, results, "--jobs", jobs) as run:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(moments.uniform(0, LATEST * study.seconds))
            struck = run.poll() is None
            if struck:
                whole = settled(results).keys() == kept(study.undisturbed).keys()
                _strike(run, number)
            _, err = run.communicate()
        if not struck or (whole and run.returncode in ENDED):  # it was faster: a new one begins
            wrong = _wrong_end(run.returncode, ENDED, err) or study.lost_on_board(results)
            lost += [wrong] if wrong else []
            results = _new(folder)
            continue
        wrong = _orphans(run.pid) or _wrong_words(run.returncode, number, err)
        lost.append(wrong or _broken(results, before))
    lost[-1] = lost[-1] or study.finish(results) or study.lost_on_board(results)
    return lost


def kills_of_runs(study: Study, folder: Path, tries: int) -> list[str]:
    """What `kill -9` of the run cost."""
    return ends_of_runs(study, folder, tries, signal.SIGKILL)


def interrupts(study: Study, folder: Path, tries: int) -> list[str]:
    """What Ctrl-C cost."""
    return ends_of_runs(study, folder, tries, signal.SIGINT)


def terminations(study: Study, folder: Path, tries: int) -> list[str]:
    """What the signal of a batch system that ends a job cost."""
    return ends_of_runs(study, folder, tries, signal.SIGTERM)


def kills_of_workers(study: Study, folder: Path, tries: int) -> list[str]:
    """What `kill -9` of workers cost, as the system does that lacks memory; the run goes on."""
    moments = random.Random(0)
    lost: list[str] = []
    while len(lost) < tries:
        results, killed = _new(folder), 0
        with running(study, results, "--jobs", "2") as run:
            while len(lost) + killed < tries and run.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.wait(moments.uniform(*BETWEEN))
                workers = _workers(run.pid)
                if workers:
                    killed += _kill(moments.choice(workers))
            _, err = run.communicate()
        wrong = "" if run.returncode in {0, 1} else f"exit code {run.returncode}: {err[-300:]}"
        if run.returncode == 1 and "try again what failed with --retry-failed" not in err:
            wrong = f"does not say what to do: {err[-300:]}"
        wrong = wrong or study.finish(results) or study.lost_on_board(results)
        lost += [wrong] * killed
    return lost


def crowds(study: Study, folder: Path, tries: int) -> list[str]:
    """What two and eight runs at once on one results folder cost."""
    return [_crowd(study, _new(folder), size) for size in CROWDS[:tries]]


def _crowd(study: Study, results: Path, size: int) -> str:
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(running(study, results, "--jobs", "1")) for _ in range(size)]
        told = [run.communicate() for run in runs]
    for run, (_, err) in zip(runs, told, strict=True):
        if run.returncode:
            return f"exit code {run.returncode}: {err[-300:]}"
    if len({out for out, _ in told}) > 1:
        return "they end with different tables"
    return study.lost_on_board(results)


def _new(folder: Path) -> Path:
    """Results folder that nobody has used."""
    return next(
        place for number in itertools.count() if not (place := folder / str(number)).exists()
    )


def _strike(run: subprocess.Popen[str], number: int) -> None:
    """Ctrl-C reaches every process of the terminal, the other signals the run alone."""
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)


def _orphans(group: int) -> str:
    """What is left of a run's processes; they are given a moment to see that it is gone."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return ""
        time.sleep(0.05)
    return "workers live on"


def _wrong_words(code: int, number: int, err: str) -> str:
    """What is wrong with how a run says that it was ended."""
    if number != signal.SIGINT:
        return _wrong_end(code, {-number}, err)
    if "Traceback" in err or err.splitlines()[-1:] != [GOODBYE]:
        return f"does not say that it was interrupted: {err[-300:]}"
    return _wrong_end(code, {INTERRUPTED}, err)


def _wrong_end(code: int, wanted: set[int], err: str) -> str:
    return "" if code in wanted else f"exit code {code}: {err[-300:]}"


def _broken(results: Path, before: Mapping[str, bytes]) -> str:
    """What a run that was ended has left that is not whole, or not as it was."""
    for cell in find_cells(results) if results.exists() else ():
        cell.verify()
    now = kept(results)
    changed = [name for name, text in before.items() if now.get(name) != text]
    return f"{changed[0]} was changed" if changed else ""


def _workers(run: int) -> list[int]:
    """Workers of a run, found where Linux lists the children of a process."""
    listed = Path(f"/proc/{run}/task/{run}/children")
    try:
        children = [int(number) for number in listed.read_text(encoding="ascii").split()]
        names = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    except OSError:  # one of them has just ended
        return []
    return [child for child, name in names.items() if b"spawn_main" in name]


def _kill(process: int) -> bool:
    """Whether there was something to kill."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
