"""Prediction files scored one by one, by anyone who has them; no features are needed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from survbench.bench.cell import Cell
from survbench.errors import InputError
from survbench.score import FoldPredictions, FoldScores, Score, read_predictions, score_fold

_CELL = re.compile(r"seed(\d+)-fold(\d+)")
_SCORES = (("C-index", "c_index"), ("Uno C", "uno_c"), ("IBS", "ibs"), ("AUC", "auc"))


@dataclass(frozen=True)
class FileScore:
    """Scores of one prediction file.

    Parameters
    ----------
    path : Path
        The file as given.
    n, events : int
        Its patients and their deaths.
    scores : FoldScores
        What a censoring model is needed for has a number only inside a results folder.
    """

    path: Path
    n: int
    events: int
    scores: FoldScores


def score_files(paths: Sequence[str | Path]) -> list[FileScore]:
    """Scores of prediction files; one inside its cell finds edges, horizon and training there.

    Raises
    ------
    InputError
        No file is given.
    ResultError
        A file is damaged or absent.
    """
    if not paths:
        msg = "no file given; name prediction files, such as results/*/*/*/*/predictions/none.csv"
        raise InputError(msg)
    return [_score(Path(path)) for path in paths]


def render_files(scored: Sequence[FileScore]) -> str:
    """Text table of scored files, their mean, and why numbers are missing; ends with a newline."""
    body = [
        [str(one.path), one.n, one.events, *(_shown(score) for score in _listed(one))]
        for one in scored
    ]
    if len(scored) > 1:
        means = np.mean([[score.value for score in _listed(one)] for one in scored], axis=0)
        n, events = sum(one.n for one in scored), sum(one.events for one in scored)
        body.append(["mean of the files", n, events, *(_shown(Score(m)) for m in means)])
    header = ["file", "n", "events", *(label for label, _ in _SCORES)]
    align = ["left", *["right"] * (len(header) - 1)]
    table = tabulate(body, header, "simple", colalign=align, disable_numparse=True)
    reasons = {
        f"no {label}: {score.reason}": None
        for one in scored
        for (label, _), score in zip(_SCORES, _listed(one), strict=True)
        if score.reason
    }
    return "\n".join([table, *([""] if reasons else []), *reasons]) + "\n"


def _score(path: Path) -> FileScore:
    fold, horizon = _scorable(path)
    return FileScore(path, len(fold), int(fold.event.sum()), score_fold(fold, horizon))


def _scorable(path: Path) -> tuple[FoldPredictions, float | None]:
    """Predictions of a file and the cohort's horizon."""
    cell = _cell_of(path.resolve())
    if cell is not None:
        regime = path.name.removesuffix(".csv")
        return cell.scorable(regime), cell.record["cohort_info"]["horizon_months"]
    table = read_predictions(path)
    fold = FoldPredictions(
        fold=0,
        seed=0,
        case_id=table.case_id,
        time=table.time,
        event=table.event,
        risk=table.risk,
        survival=table.survival,
    )
    return fold, None


def _cell_of(path: Path) -> Cell | None:
    """Cell a file lies in: <cohort>/<method>/<setting>/seed<s>-fold<k>/predictions/<regime>.csv."""
    folder = path.parent.parent
    place = _CELL.fullmatch(folder.name)
    if place is None or path.parent.name != "predictions" or not (folder / "cell.json").is_file():
        return None
    *_, cohort, method, setting, _ = folder.parts
    results = folder.parents[3]
    return Cell(results, cohort, method, setting, seed=int(place[1]), fold=int(place[2]))


def _listed(one: FileScore) -> list[Score]:
    return [getattr(one.scores, name) for _, name in _SCORES]


def _shown(score: Score) -> str:
    return f"{score.value:.4f}" if math.isfinite(score.value) else "-"
