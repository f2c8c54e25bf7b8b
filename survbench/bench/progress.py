"""How a run is shown while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Display

from survbench.bench.cell import Cell
from survbench.bench.execute import Watcher
from survbench.bench.run import Outcome
from survbench.method import Progress


@contextmanager
def shown(stream: TextIO, cells: int) -> Iterator[Watcher]:
    """Watcher that shows a run of so many cells on a stream."""
    if cells == 0 or not stream.isatty():
        yield Lines(stream, cells)
        return
    with Display(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[stage]}"),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    ) as display:
        yield Bars(display, cells)


def in_words(outcome: Outcome) -> str:
    """What became of a cell, in one line."""
    told = f": {outcome.message}" if outcome.message else ""
    return f"{outcome.cell} {outcome.status}{told}"


class Lines(Watcher):
    """One line for every cell that ends."""

    def __init__(self, stream: TextIO, cells: int) -> None:
        self._stream, self._cells, self._ended = stream, cells, 0
        self._begun: dict[Cell, float] = {}

    def started(self, cell: Cell) -> None:
        """Take the time."""
        self._begun[cell] = time.monotonic()

    def ended(self, outcome: Outcome) -> None:
        """Write how a cell ended and how long it took."""
        self._ended += 1
        width = len(str(self._cells))
        now = time.monotonic()
        seconds = now - self._begun.get(outcome.cell, now)
        self._stream.write(
            f"[{self._ended:{width}}/{self._cells}] {in_words(outcome)} ({seconds:.1f} s)\n"
        )
        self._stream.flush()


class Bars(Watcher):
    """A bar for the run and one for each cell at work."""

    def __init__(self, display: Display, cells: int) -> None:
        self._display = display
        self._all = display.add_task("cells", total=cells, stage="")
        self._bars: dict[Cell, TaskID] = {}

    def started(self, cell: Cell) -> None:
        """Add the cell's bar."""
        self._bars[cell] = self._display.add_task(f"  {cell}", total=None, stage="")

    def progressed(self, cell: Cell, progress: Progress) -> None:
        """Move the cell's bar on."""
        self._display.update(
            self._bars[cell],
            completed=progress.done,
            total=progress.total,
            stage=progress.stage,
        )

    def ended(self, outcome: Outcome) -> None:
        """Take the cell's bar away; say what went wrong above the bars."""
        if outcome.cell in self._bars:
            self._display.remove_task(self._bars.pop(outcome.cell))
        self._display.advance(self._all)
        if outcome.status != "done":
            self._display.console.print(in_words(outcome), markup=False, highlight=False)
