"""Measuring in a process of its own: whatever dies or takes too long there is a value here."""

from __future__ import annotations

import multiprocessing
import resource
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from survbench.bench.execute import deaf_to_ctrl_c, death, die_with_parent, thread_variables
from survbench.bench.machine import set_threads, told
from survbench.errors import MissingModalityError
from survbench.report.cost.measure import QUANTITIES, NotMeasuredError, Place, Subject, Task

__all__ = [
    "NOT_MEASURED",
    "OUT_OF_MEMORY",
    "REFUSED",
    "TIMEOUT",
    "Answer",
    "available_memory",
    "measured",
]

OUT_OF_MEMORY, TIMEOUT, REFUSED, FAILED = "out of memory", "timeout", "refused", "failed"
NOT_MEASURED = "not measured"
_IMPORTED = "survbench.report.cost.measure"  # once, in the process that others are forked from
_KIB, _GIB = 1024, 2**30
_SHARE = 0.9  # of the memory that is free, for the measuring process


@dataclass(frozen=True)
class Answer:
    """What came of one quantity of a cell.

    Parameters
    ----------
    quantity : str
        One of `QUANTITIES`.
    values : mapping of field to value
        Empty where there are none.
    outcome : str
        Empty, or why there are none in two words: out of memory, timeout, refused, failed.
    reason : str
        The same in full.
    """

    quantity: str
    values: dict[str, Any]
    outcome: str = ""
    reason: str = ""


def measured(
    tasks: Iterable[Task], place: Place, *, timeout: float, memory_gib: float | None
) -> Iterator[tuple[Task, list[Answer]]]:
    """Answers to every quantity of each task; one process measures as long as it lives.

    Parameters
    ----------
    tasks
        All of one method and one preset; the first quantity without values ends a task.
    place
        Where and how long.
    timeout
        Seconds a quantity may take; its process is then killed.
    memory_gib
        Memory a process may take; None sets no limit.
    """
    process = _Process(place, memory_gib)
    try:
        for task in tasks:
            answers: list[Answer] = []
            for quantity in QUANTITIES:
                answers.append(process.ask(task, quantity, timeout))
                if quantity == QUANTITIES[0] and answers[0].outcome:
                    break
            yield task, answers
    finally:
        process.end()


def available_memory() -> float | None:
    """GiB that are free now, less a tenth; None where the system does not tell."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable"))
        return round(_SHARE * int(free.split()[1]) * _KIB / _GIB, 1)
    return None


class _Process:
    """A process that measures; another takes its place when it has died."""

    def __init__(self, place: Place, memory_gib: float | None) -> None:
        self.place, self.memory_gib = place, memory_gib
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def ask(self, task: Task, quantity: str, timeout: float) -> Answer:
        """Answer to one quantity, whatever becomes of the process."""
        process, connection = self._living()
        try:
            connection.send((task, quantity))
            ready = wait([connection, process.sentinel], timeout)
            if connection.poll():
                answer: Answer = connection.recv()
                return answer
        except (EOFError, OSError):
            ready = [process.sentinel]
        if not ready:
            self.end()
            return Answer(quantity, {}, TIMEOUT, f"took longer than {timeout:g} seconds")
        process.join()
        how = death(process.exitcode)
        self.end()
        outcome = OUT_OF_MEMORY if "SIGKILL" in how else FAILED
        return Answer(quantity, {}, outcome, f"the process {how}")

    def end(self) -> None:
        """End the process."""
        if self._process is None or self._connection is None:
            return
        self._connection.close()
        self._process.kill()
        self._process.join()
        self._process = self._connection = None

    def _living(self) -> tuple[BaseProcess, Connection]:
        if self._process is None or self._connection is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([_IMPORTED])
            ours, theirs = context.Pipe()
            place, limit = self.place, self.memory_gib
            process = context.Process(target=work, args=(theirs, place, limit), daemon=True)
            with thread_variables(place.threads), deaf_to_ctrl_c():
                process.start()
            theirs.close()
            self._process, self._connection = process, ours
        return self._process, self._connection


# -- in the process


def work(connection: Connection, place: Place, memory_gib: float | None) -> None:
    """Answer questions from a connection until it closes."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    set_threads(place.threads)
    if memory_gib is not None and place.device == "cpu":
        limit = int(memory_gib * _GIB)
        with suppress(ValueError, OSError):  # a stricter limit stands already
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    subject: Subject | None = None
    while True:
        try:
            task, quantity = connection.recv()
        except EOFError:
            return
        made: list[Subject] = [] if subject is None else [subject]
        connection.send(answer(task, quantity, place, made))
        subject = made[0] if made else None


def answer(task: Task, quantity: str, place: Place, made: list[Subject]) -> Answer:
    """What measuring one quantity gives; `made` keeps the subject for the next."""
    try:
        if not made:
            made.append(Subject(task, place))
        return Answer(quantity, made[0].measure(task, quantity))
    except NotMeasuredError as error:
        return Answer(quantity, {}, NOT_MEASURED, str(error))
    except MissingModalityError as error:
        return Answer(quantity, {}, REFUSED, str(error))
    except Exception as error:
        if is_out_of_memory(error):
            return Answer(quantity, {}, OUT_OF_MEMORY, f"{quantity} needs more memory")
        return Answer(quantity, {}, FAILED, str(told(error)["error"]))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, in NumPy, torch on a CPU or on a GPU."""
    names = {type(error).__name__, *(kind.__name__ for kind in type(error).__mro__)}
    if names & {"MemoryError", "OutOfMemoryError"}:
        return True
    text = str(error)
    return "can't allocate memory" in text or "not enough memory" in text
