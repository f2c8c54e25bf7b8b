"""Many cells in several processes: one that dies or takes too long does not end the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from survbench.bench.cell import Cell
from survbench.bench.disk import WORK, DiskError, sweep
from survbench.bench.ground import Source
from survbench.bench.machine import THREAD_VARIABLES, keep_freed_memory, set_threads, told
from survbench.bench.plan import Plan
from survbench.bench.run import Outcome, Task, outcome_of, run_task
from survbench.errors import InputError
from survbench.method import Progress

_TICK = 0.25  # seconds between looks at deadlines and at cells that another run holds
_REPORT_EVERY = 0.2  # seconds between two reports of one worker
_MINUTE = 60.0
_ENDS = {"disk": DiskError, "input": InputError}  # messages of a worker that end the run


class Watcher:
    """Is told how a run goes; does nothing unless overridden."""

    def started(self, cell: Cell) -> None:
        """A worker has begun a cell."""

    def progressed(self, cell: Cell, progress: Progress) -> None:
        """A fit or a prediction has got further."""

    def ended(self, outcome: Outcome) -> None:
        """A cell is done, refused or failed."""


@dataclass(eq=False)
class _Worker:
    """A process that works on one task at a time."""

    process: BaseProcess
    connection: Connection
    task: Task | None = None
    stage: str = "fit"
    deadline: float | None = None


@dataclass(eq=False)
class _Run:
    """State of `execute`."""

    plan: Plan
    watcher: Watcher
    queue: deque[Task] = field(default_factory=deque)
    held: deque[tuple[float, Task]] = field(default_factory=deque)  # another run is at them
    workers: list[_Worker] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


def execute(plan: Plan, watcher: Watcher) -> list[Outcome]:
    """Bring every cell of a plan up to date.

    Raises
    ------
    DiskError
        The results folder cannot be written; finished cells stay.
    InputError
        The method cannot be fitted on this cohort, or something changed during the run.
    KeyboardInterrupt
        Ctrl-C; workers are ended and leave nothing half-written.
    """
    run = _Run(plan, watcher, queue=deque(plan.todo))
    sweep(plan.results / WORK)
    try:
        with thread_variables(max((task.threads for task in plan.todo), default=1)):
            while run.queue or run.held or any(worker.task for worker in run.workers):
                _hand_out(run)
                _listen(run)
    finally:
        for worker in run.workers:
            _end(worker)
        with suppress(DiskError):  # what ended the run is what must be told
            sweep(plan.results / WORK)
    return run.outcomes


def _hand_out(run: _Run) -> None:
    """Give every idle worker a task, and start workers while there are fewer than jobs."""
    while run.held and run.held[0][0] <= time.monotonic():
        run.queue.append(run.held.popleft()[1])
    while run.queue:
        idle = next((worker for worker in run.workers if worker.task is None), None)
        if idle is None:
            if len(run.workers) >= run.plan.jobs:
                return
            idle = _start(run.plan.source)
            run.workers.append(idle)
        task = run.queue.popleft()
        idle.task, idle.stage, idle.deadline = task, "fit", None
        try:
            idle.connection.send(task)
        except OSError:
            _bury(run, idle)


def _listen(run: _Run) -> None:
    """Wait a moment for messages and deaths, then look at the deadlines."""
    ends: list[Any] = []
    for worker in run.workers:
        ends += [worker.connection, worker.process.sentinel]
    if not ends:
        time.sleep(_TICK)
    ready = set(wait(ends, timeout=_TICK))
    for worker in list(run.workers):
        if worker.connection in ready or worker.process.sentinel in ready:
            _hear(run, worker)
    for worker in list(run.workers):
        if worker.deadline is not None and time.monotonic() > worker.deadline:
            _stop_late(run, worker)


def _hear(run: _Run, worker: _Worker) -> None:
    """Take every message of a worker; bury it when it has died."""
    while (message := _message(worker)) is not None:
        _understand(run, worker, message)
    if not worker.process.is_alive():
        _bury(run, worker)


def _message(worker: _Worker) -> tuple[str, Any] | None:
    """Next message of a worker; None where there is none (yet)."""
    try:
        return worker.connection.recv() if worker.connection.poll() else None
    except (EOFError, OSError):  # it has died: wait until the system knows
        worker.process.join(1)
        return None


def _understand(run: _Run, worker: _Worker, message: tuple[str, Any]) -> None:
    """Act on what a worker says."""
    kind, content = message
    if kind in _ENDS:
        raise _ENDS[kind](content)
    task = worker.task
    if task is None:
        return
    if kind == "begin":
        worker.stage = content
        if content == "fit":
            run.watcher.started(task.cell)
            worker.deadline = _deadline(run.plan)
    elif kind == "progress":
        run.watcher.progressed(task.cell, content)
    elif kind == "error":
        _fail(run, worker, content)
    else:
        worker.task, worker.deadline = None, None
        if content.status == "busy":
            run.held.append((time.monotonic() + _TICK, task))
        else:
            _keep(run, content)


def _deadline(plan: Plan) -> float | None:
    return None if plan.timeout is None else time.monotonic() + plan.timeout * _MINUTE


def _keep(run: _Run, outcome: Outcome) -> None:
    run.outcomes.append(outcome)
    run.watcher.ended(outcome)


def _stop_late(run: _Run, worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    _bury(run, worker, f"TimeoutError: took longer than {run.plan.timeout:g} minutes")


def _bury(run: _Run, worker: _Worker, why: str | None = None) -> None:
    """Forget a dead worker and keep its cell as failed; another takes its place."""
    run.workers.remove(worker)
    _end(worker)
    why = why or f"ChildProcessError: its process {death(worker.process.exitcode)}"
    _fail(run, worker, {"error": why, "traceback": []})


def _fail(run: _Run, worker: _Worker, failure: Mapping[str, Any]) -> None:
    """Keep as failed what a worker has left undone of its cell; it may have finished it."""
    task, worker.task, worker.deadline = worker.task, None, None
    if task is None:
        return
    undone = ["fit"] if not task.cell.whole else task.cell.missing(task.regimes)
    if not undone:
        _keep(run, outcome_of(task))
        return
    lock = task.cell.lock
    if lock.take():  # else another run has taken over what the dead left
        try:
            task.cell.fail(worker.stage if worker.stage in undone else undone[0], failure)
        finally:
            lock.free()
    _keep(run, Outcome(task.cell, "failed", failure["error"]))


def death(code: int | None) -> str:
    """How a process that is gone has ended, in words."""
    if code is not None and code < 0:
        known = {number.value: number.name for number in signal.Signals}
        name = known.get(-code, f"signal {-code}")
        memory = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"was killed by {name}{memory}"
    return f"ended by itself with exit code {code}"


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _start(source: Source) -> _Worker:
    """New worker process; spawned, for a fork would copy the threads' locks."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, source), daemon=True)
    with deaf_to_ctrl_c():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes born here not hear Ctrl-C: it reaches the parent, who ends them.

    They inherit that it is blocked. The parent hears it afterwards: ignoring would lose it. That
    holds for the thread that calls; what another one takes is told to the main thread, and kept.
    """
    resource_tracker.ensure_running()  # its start, else within, would end the blocking
    kept: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: kept.append(number)) if main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if kept:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def thread_variables(threads: int) -> Iterator[None]:
    """Environment in which workers are born: numerical libraries read it once, when loaded."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# -- in the worker


def work(connection: Connection, source: Source) -> None:
    """Do tasks from a connection until it closes; the cohort is loaded once."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    keep_freed_memory()
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        connection.send(_answer(task, source, connection))


def _answer(task: Task, source: Source, connection: Connection) -> tuple[str, Any]:
    """Outcome of a task, or what ends the run."""
    try:
        set_threads(task.threads)
        ground = source.load(task.setting.cohort_hash, task.setting.split_hash)
        return "outcome", run_task(
            task,
            ground,
            report=_Throttled(connection),
            begin=lambda stage: connection.send(("begin", stage)),
        )
    except DiskError as error:
        return "disk", str(error)
    except InputError as error:
        return "input", str(error)
    except Exception as error:
        return "error", told(error)


class _Throttled:
    """Sends progress on, a few times a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _REPORT_EVERY
            self._connection.send(("progress", progress))


def die_with_parent() -> None:
    """End this process as soon as its parent is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
