"""Negative controls as they are committed: `control/<cohort>.csv`, a line for each permutation.

A board follows from predictions; these numbers follow from fits that nobody keeps, since hundreds
of them would outweigh every board. Who doubts a line fits that one permutation again, by
`survbench run --control permute --seed <seed>`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from importlib.resources.abc import Traversable
from pathlib import Path

from survbench.errors import ResultError
from survbench.report.control import Permutation
from survbench.report.submissions.rendered import asked, committed, csv_names, typed_rows
from survbench.report.submissions.untrusted import check_names
from survbench.report.tables.records import csv_of

FOLDER = "control"
COLUMNS = tuple(entry.name for entry in fields(Permutation))
_SHARES = ("c_index", "logrank_p", "logrank_p_stratified")  # numbers from 0 to 1


def control_names(root: Traversable | None = None) -> list[str]:
    """Cohorts that have negative controls, sorted."""
    return csv_names((root or committed()) / FOLDER)


def committed_permutations(
    cohort: str | None = None, root: Traversable | None = None
) -> list[Permutation]:
    """Permutations of the committed negative controls, sorted.

    Raises
    ------
    ResultError
        A file is damaged; the message names file, row and column.
    UnknownNameError
        There are none of this cohort.
    """
    top = root or committed()
    see = "'survbench leaderboard --control'"
    names = asked(cohort, control_names(top), "negative controls", see)
    return [one for name in names for one in _read(top, name)]


def keep_permutations(root: Path, found: Sequence[Permutation]) -> dict[str, int]:
    """Add permutations to the committed ones, in place of those of the same fits.

    Returns how many each cohort has now.
    """
    counts = {}
    for cohort in sorted({one.cohort for one in found}):
        there = _read(root, cohort) if cohort in control_names(root) else []
        kept = {one.key: one for one in (*there, *found) if one.cohort == cohort}
        for one in kept.values():
            check_names(one.cohort, one.method, one.setting)
        text = csv_of(COLUMNS, [asdict(kept[key]) for key in sorted(kept)])
        file = root / FOLDER / f"{cohort}.csv"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        counts[cohort] = len(kept)
    return counts


def doubtful(root: Path, cohort: str | None = None) -> Iterator[str]:
    """What no run can have written in the committed negative controls, a line each."""
    for name in control_names(root):
        if cohort in (None, name):
            file = root / FOLDER / f"{name}.csv"
            try:
                yield from (f"{file}{told}" for told in _doubts(name, _read(root, name)))
            except ResultError as error:
                yield f"{file.parent}/{error}"


def _doubts(cohort: str, found: Sequence[Permutation]) -> Iterator[str]:
    """What cannot be in the file of a cohort: row and column, and what is wrong there."""
    if [one.key for one in found] != sorted({one.key for one in found}):
        yield ": a permutation stands twice or out of order; write it by 'survbench submit'"
    for number, one in enumerate(found, start=2):
        if one.cohort != cohort:
            yield f", row {number}, column 'cohort': {one.cohort!r} is another cohort"
        for name in _SHARES:
            value = getattr(one, name)
            if not 0 <= value <= 1 and not (math.isnan(value) and name != "c_index"):
                yield f", row {number}, column {name!r}: {value!r} is not from 0 to 1"


def _read(root: Traversable, cohort: str) -> list[Permutation]:
    file = root / FOLDER / f"{cohort}.csv"
    return [Permutation(**values) for _, values in typed_rows(file, Permutation, COLUMNS)]
