"""Something happens at a chosen step of a run: it is killed, or the disk takes no more."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from survbench.bench.cell import find_cells
from survbench.bench.disk import WORK, sweep
from survbench.errors import SurvbenchError
from tests.bench.conftest import run_here
from tests.faults.study import Study, kept, settled

CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")  # audit events
READING = os.O_RDONLY | os.O_CLOEXEC
LIMITS = (1, 64, 256, 1000, 1500, 2000, 2500, 3000)  # bytes of a file; the largest has about 3 kB
# What a run imports when it needs it; here the one process that all others come from does.
LATER = ("torch", "safetensors.numpy", "sksurv.metrics")
Action = Callable[[], None]


def watch(results: Path, act_at: int, act: Action) -> list[str]:
    """Do something just before the n-th change below a folder; gives the list they go to.

    A hook of this kind stays for the life of the process.
    """
    seen: list[str] = []

    def note(event: str, path: object) -> None:
        if str(path).startswith(str(results)):
            seen.append(f"{event} {path}")
            if len(seen) == act_at:
                act()

    def hook(event: str, told: tuple[Any, ...]) -> None:
        if event in CHANGES and not (event == "open" and told[2] | READING == READING):
            note(event, told[0])

    def fsync(file: int, real: Callable[[int], None] = os.fsync) -> None:
        note("fsync", Path(f"/proc/self/fd/{file}").readlink())
        real(file)

    sys.addaudithook(hook)
    os.fsync = fsync  # type: ignore[assignment]
    return seen


def die() -> None:
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> None:
    """Fail as the system does."""
    raise OSError(number, os.strerror(number))


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond so many bytes."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


def bring_up(
    study: Study,
    results: Path,
    before: Callable[[Path], list[str]],
    log: Path,
    variables: dict[str, str],
) -> None:
    """The run, in a process of its own; the log gets its steps, or the line that ends it."""
    os.environ.clear()  # the process all come from may be older than the study
    os.environ.update(variables)
    plan = study.plan(results)
    results.mkdir(exist_ok=True)
    lines, code = before(results), 0
    try:
        run_here(plan)
        sweep(results / WORK)
    except SurvbenchError as error:
        lines, code = [str(error)], 1
    limit_files(resource.RLIM_INFINITY)
    log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    sys.exit(code)


def run_apart(study: Study, results: Path, before: Callable[[Path], list[str]]) -> BaseProcess:
    """Process that has brought up a folder, or died of it."""
    context = multiprocessing.get_context("forkserver")  # one thread, everything is loaded once
    context.set_forkserver_preload([__name__, *LATER])
    log = results.with_suffix(".log")
    told = (study, results, before, log, dict(os.environ))
    process = context.Process(target=bring_up, args=told)
    process.start()
    process.join()
    return process


def unharmed(results: Path) -> list[str]:
    """Steps of a run to which nothing happens."""
    return watch(results, 0, die)


def killed(results: Path, *, at: int) -> list[str]:
    """Steps of a run that is killed before one of them."""
    return watch(results, at, die)


def full(results: Path, *, at: int, number: int) -> list[str]:
    """Steps of a run of which one is refused."""
    return watch(results, at, partial(refuse, number))


def small(results: Path, *, size: int) -> list[str]:
    """Nothing: the files are limited instead."""
    limit_files(size)
    return []


def spread(steps: int, tries: int) -> list[int]:
    """So many of the steps 1 to `steps`, evenly."""
    if tries >= steps:
        return list(range(1, steps + 1))
    return [1 + round(number * (steps - 1) / max(1, tries - 1)) for number in range(tries)]


def steps_of(study: Study, folder: Path) -> int:
    """How many changes a whole run makes in its results folder."""
    results = folder / "counted"
    run_apart(study, results, unharmed)
    return len(results.with_suffix(".log").read_text(encoding="utf-8").splitlines())


def kills_at_steps(study: Study, folder: Path, tries: int) -> list[str]:
    """What a kill before each of the steps cost."""
    lost = []
    for step in spread(steps_of(study, folder), tries):
        results = folder / f"step{step}"
        process = run_apart(study, results, partial(killed, at=step))
        ended = "" if process.exitcode == -signal.SIGKILL else f"exit code {process.exitcode}"
        lost.append(ended or after(study, results))
    return lost


def refusals_at_steps(study: Study, folder: Path, tries: int) -> list[str]:
    """What a full disk at each of the steps cost, and likewise a broken and a read-only one."""
    lost = []
    numbers = (errno.ENOSPC, errno.EIO, errno.EROFS)
    for turn, step in enumerate(spread(steps_of(study, folder), tries)):
        results = folder / f"step{step}"
        number = numbers[turn % len(numbers)]
        process = run_apart(study, results, partial(full, at=step, number=number))
        lost.append(wrongly_ended(process, results) or after(study, results))
    return lost


def limits(study: Study, folder: Path, tries: int) -> list[str]:
    """What a disk cost that takes only the first bytes of a file."""
    lost = []
    for size in LIMITS[:tries]:
        results = folder / f"size{size}"
        process = run_apart(study, results, partial(small, size=size))
        lost.append(wrongly_ended(process, results) or after(study, results))
    return lost


def wrongly_ended(process: BaseProcess, results: Path) -> str:
    """What is wrong with how a run ended that could not write; empty for nothing.

    A step that only tidies up may fail and nothing comes of it.
    """
    log = results.with_suffix(".log")
    told = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    if process.exitcode == 0:
        return ""
    if process.exitcode != 1 or len(told) != 1:
        return f"exit code {process.exitcode}, {len(told)} lines"
    if not told[0].startswith("cannot write") or "run the same command again" not in told[0]:
        return f"says {told[0]!r}"
    return ""


def after(study: Study, results: Path) -> str:
    """What is lost when a run that was ended is resumed; empty for nothing."""
    before = settled(results)
    for cell in find_cells(results):
        cell.verify()
    if wrong := study.finish(results):
        return wrong
    now = kept(results)
    changed = [name for name in before if now.get(name) != before[name]]
    return f"{changed[0]} was written anew" if changed else study.lost_on_board(results)
