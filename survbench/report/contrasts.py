"""What a missing modality costs each method: added value, loss and rescue, with their intervals.

The comparator is fixed in advance (`survbench.score.contrast.COMPARATOR`): linear Cox on the
modality that is left. It must be among the results, of the same patients and folds.
"""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from survbench.errors import ResultError
from survbench.report.leaderboard import Scored
from survbench.report.row import UNRANKED, Row
from survbench.report.tables import WIDTH
from survbench.score.contrast import COMPARATOR, Compared, Contrast, contrasts, other_patients

HEADER = ["method", "added value", "loss", "rescue", "", "n for .05"]
CAPTION = (
    "Differences of C-index with 95 % bootstrap intervals (patients within folds, the same draws "
    "for all rows; conditional on the fitted models). Measured here.",
    "Added value: complete minus comparator; loss: complete minus missing; rescue: missing minus "
    "comparator, which is 'not shown' where its interval covers 0 and 'opposite' where it lies "
    "below. *: what is missing was filled "
    "in.",
    "n for .05: patients who would show a rescue of 0.05 with 80 % power at two-sided 5 %, at this "
    "share of deaths, from the variance of the paired difference.",
)


@dataclass(frozen=True)
class ContrastRow:
    """The three differences of one setting under one regime.

    Parameters
    ----------
    row : Row
        The row with the modality missing.
    comparator : str
        What it is compared with, such as "cox use=G".
    added_value, loss, rescue : Contrast
        See `survbench.score.contrast`.
    """

    row: Row
    comparator: str
    added_value: Contrast
    loss: Contrast
    rescue: Contrast


@dataclass(frozen=True)
class Contrasts:
    """Differences of every row that can be compared.

    Parameters
    ----------
    rows : list of ContrastRow
        Those with their comparator beside them.
    left_out : mapping of str to str
        Why another row is not compared, by its name and regime.
    """

    rows: list[ContrastRow]
    left_out: Mapping[str, str]


def contrast_rows(entries: Sequence[Scored]) -> Contrasts:
    """Differences of every row that lacks a whole modality and has its comparator beside it.

    Raises
    ------
    ResultError
        There is no comparator for any row; the message says what to run.
    """
    scored = [entry for entry in entries if entry.folds]
    asked: dict[tuple[object, ...], list[tuple[Row, str, Compared]]] = defaultdict(list)
    left_out: dict[str, str] = {}
    for entry in scored:
        row = entry.row
        if not _is_asked(row):
            continue
        complete = _first(other for other in scored if _is_complete(other.row, row))
        base = _first(other for other in scored if _is_comparator(other.row, row))
        name = " ".join(COMPARATOR[row.regime])
        if complete is None or base is None:
            why = f"no row of {'its own with nothing missing' if complete is None else name}"
        else:
            compared = (complete.folds, entry.folds, base.folds)
            why = other_patients(compared)
            if not why:
                asked[_patients(entry)].append((row, name, compared))
        if why:
            left_out[f"{_place(row)}: {row.full_name}{row.mark} without {row.regime}"] = why
    if left_out and not asked:
        needed = "; ".join(
            f"--method {method} --set {changed}" for method, changed in COMPARATOR.values()
        )
        msg = f"no comparator among these results; run on the same cohort and folds: {needed}"
        raise ResultError(msg)
    made = [
        ContrastRow(row, name, *three)
        for group in asked.values()
        for (row, name, _), three in zip(group, contrasts([each[2] for each in group]), strict=True)
    ]
    return Contrasts(made, left_out)


def _patients(entry: Scored) -> tuple[object, ...]:
    """Whom a row predicts: the cohort, and of it the cases of each fold."""
    cases = {(fold.fold, case) for fold in entry.folds for case in fold.case_id.tolist()}
    return entry.row.cohort, entry.row.cohort_hash, frozenset(cases)


def _is_asked(row: Row) -> bool:
    comparator = (row.method, row.changed) in COMPARATOR.values()
    return row.regime in COMPARATOR and row.method not in UNRANKED and not comparator


def _is_complete(row: Row, like: Row) -> bool:
    """Whether a row is the same setting with nothing missing."""
    return row.regime == "none" and (row.cohort, row.setting) == (like.cohort, like.setting)


def _is_comparator(row: Row, like: Row) -> bool:
    """Whether a row is the comparator of `like`: same ground, preset, and nothing ever missing."""
    ground = ("cohort", "cohort_hash", "split", "population")
    return (
        (row.method, row.changed) == COMPARATOR[like.regime]
        and (row.regime, row.train_regime) == ("none", "none")
        and like.preset in (row.preset, *row.about.presets)
        and all(getattr(row, name) == getattr(like, name) for name in ground)
    )


def _first(entries: Iterable[Scored]) -> Scored | None:
    return next(iter(entries), None)


def render_contrasts(found: Contrasts) -> str:
    """Text tables, one per cohort, population and regime; ends with a newline."""
    if not found.rows:
        return "no row lacks a whole modality; run with --missing P,G\n"
    parts = []
    for title in sorted({_title(one) for one in found.rows}):
        here = [one for one in found.rows if _title(one) == title]
        body = [_cells(one) for one in sorted(here, key=_order)]
        align = ["left"] + ["right"] * 3 + ["left", "right"]
        table = tabulate(body, HEADER, "simple", colalign=align, disable_numparse=True)
        parts.append(f"{title}\n\n{table}\n")
    told = [textwrap.fill(text, WIDTH, subsequent_indent="  ") for text in CAPTION]
    absent = [f"left out: {name}: {reason}" for name, reason in found.left_out.items()]
    return "\n".join([*parts, *told, *absent]) + "\n"


def _title(one: ContrastRow) -> str:
    return f"{_place(one.row)}\nwithout {one.row.regime}, against {one.comparator}"


def _place(row: Row) -> str:
    trained = "nothing" if row.train_regime == "none" else row.train_regime
    return (
        f"{row.cohort}: {row.population} patients, preset {row.preset}, {trained} missing in "
        f"training, {row.n} patients, {row.events} deaths"
    )


def _order(one: ContrastRow) -> tuple[float, str]:
    return -one.rescue.difference, one.row.method


def _cells(one: ContrastRow) -> list[str]:
    needed = one.rescue.needed[-1].patients.value
    return [
        one.row.full_name + one.row.mark,
        *(_shown(each) for each in (one.added_value, one.loss, one.rescue)),
        one.rescue.verdict,
        f"{needed:.0f}" if math.isfinite(needed) else "-",
    ]


def _shown(contrast: Contrast) -> str:
    low, high = (f"{end:.3f}".replace("0.", ".", 1) for end in (contrast.low, contrast.high))
    return f"{contrast.difference:+.3f} [{low}, {high}]".replace("0.", ".", 1)
