"""Committed boards checked against their submissions: what no longer follows from what."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from survbench.bench.kept import KeptFit
from survbench.errors import ResultError, SurvbenchError
from survbench.report.leaderboard import score_fits
from survbench.report.row import FIELDS, Row
from survbench.report.submissions.audit import audit
from survbench.report.submissions.permutations import doubtful
from survbench.report.submissions.rendered import board_names, read_board, write_board
from survbench.report.submissions.submission import Submission, find_submissions, submitted_fits

_RELATIVE, _ABSOLUTE = 1e-6, 1e-12  # what another machine's arithmetic may change


@dataclass(frozen=True)
class Verified:
    """What was looked at, and every disagreement as one line that names file and row.

    Parameters
    ----------
    boards, submissions, rows : int
        How many were recomputed.
    wrong : tuple of str
        Disagreements; none where everything follows from the submissions.
    """

    boards: int
    submissions: int
    rows: int
    wrong: tuple[str, ...]


def verify(root: str | Path, cohort: str | None = None) -> Verified:
    """Recompute every board below a folder from its submissions and compare.

    Checked are hashes, the patients of every fold, their outcomes, who lacks what under each regime
    (drawn anew by the hash rule), and every stored number. Negative controls are only looked
    through: they follow from nothing that is kept.

    Raises
    ------
    ResultError
        There is no such folder, or no submission in it.
    """
    top = Path(root)
    groups: dict[str, list[Submission]] = defaultdict(list)
    for one in find_submissions(top, cohort):
        groups[one.cohort].append(one)
    if not groups:
        msg = (
            f"no submission below {top}; an installed survbench carries none: name the folder "
            "'leaderboards' of a checkout"
        )
        raise ResultError(msg)
    wrong = list(doubtful(top, cohort))
    names = {*groups, *(name for name in board_names(top) if cohort in (None, name))}
    rows = 0
    for name in sorted(names):
        made, told = _verify(top, name, groups[name])
        rows += made
        wrong.extend(told)
    return Verified(len(names), sum(map(len, groups.values())), rows, tuple(wrong))


def render_boards(root: str | Path, cohorts: Sequence[str]) -> None:
    """Write the boards of these cohorts anew from their submissions, all or none."""
    boards = {cohort: score_fits(submitted_fits(root, cohort)) for cohort in cohorts}
    for cohort, scored in boards.items():
        write_board(Path(root), cohort, [entry.row for entry in scored])


def _verify(root: Path, cohort: str, submissions: Sequence[Submission]) -> tuple[int, list[str]]:
    """Rows recomputed for a board, and what is wrong with it."""
    wrong = []
    whole: list[KeptFit] = []
    for one in submissions:
        try:
            whole.extend(one.read())
        except SurvbenchError as error:
            wrong.append(str(error))
    try:
        wrong.extend([] if wrong else audit(submissions))
        computed = [entry.row for entry in score_fits(whole)]
        stored = read_board(root, cohort)
    except SurvbenchError as error:
        return 0, [*wrong, f"{root / cohort}: {error}"]
    return len(computed), [*wrong, *_differences(root, cohort, stored, computed)]


def _differences(
    root: Path, cohort: str, stored: Sequence[Row], computed: Sequence[Row]
) -> Iterator[str]:
    """How a stored board differs from the one recomputed."""
    file = root / f"{cohort}.csv"
    wanted = {_key(row): row for row in computed}
    seen = set()
    for number, row in enumerate(stored, start=2):
        place = f"{file}, row {number} ({row.method}, {row.regime}, setting {row.setting})"
        if _key(row) in seen or _key(row) not in wanted:
            what = "stands twice" if _key(row) in seen else "follows from no submission"
            yield f"{place} {what}"
            continue
        seen.add(_key(row))
        yield from _row_differences(place, row, wanted[_key(row)])
    for key in sorted(set(wanted) - seen):
        yield f"{file}: no row for {'/'.join(key)}, which a submission holds"
    if seen == set(wanted) and [_key(row) for row in stored] != list(wanted):
        yield f"{file}: the rows stand in another order than the board's"


def _row_differences(place: str, stored: Row, computed: Row) -> Iterator[str]:
    for name in FIELDS:
        said, found = stored.values[name], computed.values[name]
        if not _same(said, found):
            yield f"{place}, column {name!r}: {said!r} is stored, the submission gives {found!r}"
    notes = asdict(computed.about)
    for name, said in asdict(stored.about).items():
        if not _same(said, notes[name]):
            told = f"{name!r} of its notes: {said!r} is stored"
            yield f"{place}, {told}, the submission gives {notes[name]!r}"


def _key(row: Row) -> tuple[str, str, str]:
    return row.method, row.setting, row.regime


def _same(one: Any, other: Any) -> bool:
    """Equal up to rounding, part by part; NaN equals NaN."""
    if isinstance(one, float) and isinstance(other, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
