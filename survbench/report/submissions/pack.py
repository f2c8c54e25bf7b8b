"""Results to submissions: what a pull request carries, the same bytes from the same results."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import shutil
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from survbench.bench.cell import Cell, find_cells, find_failures
from survbench.bench.disk import WORK, adopt, temporary_folder, writing
from survbench.bench.kept import KeptFit
from survbench.errors import ResultError, UnknownNameError
from survbench.report.control import is_control, permutations
from survbench.report.submissions.permutations import keep_permutations
from survbench.report.submissions.submission import (
    CELLS,
    FILES,
    KEY,
    PREDICTIONS,
    SCHEMA,
    SUMS,
    TRAIN,
    Submission,
    SubmittedFit,
)
from survbench.report.submissions.untrusted import check_names
from survbench.score.predictions import OUTCOME, SURVIVAL

_LEVEL = 9  # of gzip


@dataclass(frozen=True)
class Written:
    """A submission that was written: how many fits it holds, its bytes, and whether it is new."""

    submission: Submission
    fits: int
    size: int
    changed: bool


@dataclass(frozen=True)
class Packed:
    """What results became: submissions, and how many permutations their cohorts have now."""

    submissions: list[Written]
    permutations: dict[str, int]


def pack(
    results: str | Path,
    to: str | Path,
    *,
    cohort: str | None = None,
    methods: Collection[str] = (),
    settings: Collection[str] = (),
) -> Packed:
    """Write the settings of a results folder as submissions below `to`, and add its controls there.

    Seeds that a submission holds and the results lack stay in it; so do permutations. Every
    fit is checked before anything is written.

    Parameters
    ----------
    results : path
        Folder that `survbench run` wrote.
    to : path
        Folder of submissions; it must exist.
    cohort : str or None
        Only this cohort.
    methods, settings : collection of str
        Only these methods and setting ids; empty for all.

    Raises
    ------
    ResultError
        A file is damaged, a setting is incomplete, or a submission that is there holds a regime
        of a fit whose results lack it.
    UnknownNameError
        The results hold no such method or setting.
    """
    sent: list[tuple[Submission, list[KeptFit]]] = []
    controls: list[KeptFit] = []
    for name, cells in _chosen(results, to, cohort, methods, settings).items():
        if is_control(cells[0]):
            _check(cells)
            controls.extend(cells)
        else:
            one = Submission(Path(to), *name)
            sent.append((one, [*cells, *_other_seeds(one, cells)]))
    for _, fits in sent:
        _check(fits)
    permuted = permutations(controls)
    return Packed([_write(one, fits) for one, fits in sent], keep_permutations(Path(to), permuted))


def _chosen(
    results: str | Path,
    to: str | Path,
    cohort: str | None,
    methods: Collection[str],
    settings: Collection[str],
) -> dict[tuple[str, str, str], list[Cell]]:
    """Settings that were asked for, by cohort, method and setting."""
    if not Path(to).is_dir():
        msg = f"no folder {str(to)!r}; run this in a checkout of survbench, or name one with --to"
        raise ResultError(msg)
    cells: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in find_cells(results, cohort):
        cells[cell.cohort, cell.method, cell.setting].append(cell)
    _check_known("method", methods, {method for _, method, _ in cells})
    _check_known("setting", settings, {setting for *_, setting in cells})
    chosen = {
        name: cells[name]
        for name in sorted(cells)
        if (not methods or name[1] in methods) and (not settings or name[2] in settings)
    }
    for failed, stage, error in find_failures(results, cohort):
        if (failed.cohort, failed.method, failed.setting) in chosen:
            what = f"{failed.place}: {stage} failed: {error}"
            remedy = "run it again with --retry-failed, or choose others by --method or --setting"
            msg = f"{what}; {remedy}"
            raise ResultError(msg)
    for name in chosen:
        check_names(*name)
    return chosen


def _other_seeds(one: Submission, cells: Sequence[Cell]) -> list[SubmittedFit]:
    """Fits of seeds that the submission which is there holds, and the results do not."""
    if not one.folder.exists():
        return []
    seeds = {cell.seed for cell in cells}
    return [fit for fit in one.read() if fit.seed not in seeds]


def _check_known(kind: str, asked: Collection[str], known: Collection[str]) -> None:
    for name in sorted(set(asked) - set(known)):
        what = f"{kind} in these results"
        raise UnknownNameError(what, name, known, "'survbench leaderboard --results'")


def _check(fits: Sequence[KeptFit]) -> None:
    """Refuse a setting that is incomplete."""
    there = {(fit.seed, fit.fold) for fit in fits}
    if gone := sorted({(seed, fold) for seed, _ in there for _, fold in there} - there):
        place = fits[0].place.rpartition("/")[0]
        msg = f"{place} lacks seed {gone[0][0]} of fold {gone[0][1]}; run what is missing first"
        raise ResultError(msg)
    has = [{*fit.regimes, *fit.refusals} for fit in fits]
    for fit, regimes in zip(fits, has, strict=True):
        if lacks := sorted(set().union(*has) - regimes):
            msg = f"{fit.place} lacks regime {lacks[0]}; run what is missing first"
            raise ResultError(msg)


def _write(one: Submission, fits: Sequence[KeptFit]) -> Written:
    """Write a submission whole, or leave what is there."""
    files = {
        CELLS: _told(fits).encode(),
        PREDICTIONS: _zipped(_predictions(fits)),
        TRAIN: _train(fits).encode(),
    }
    sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in FILES]
    files[SUMS] = "".join(sums).encode()
    size = sum(map(len, files.values()))
    if one.folder.exists():
        names = [name for name in files if (one.folder / name).is_file()]
        if {name: (one.folder / name).read_bytes() for name in names} == files:
            return Written(one, len(fits), size, changed=False)
        _check_nothing_lost(one, fits)
    work = one.root / WORK
    with temporary_folder(work) as folder, writing(one.place):
        for name, data in files.items():
            (folder / name).write_bytes(data)
        shutil.rmtree(one.folder, ignore_errors=True)
        adopt(folder, one.folder)
    with contextlib.suppress(OSError):  # somebody else is at work in it
        work.rmdir()
    return Written(one, len(fits), size, changed=True)


def _check_nothing_lost(one: Submission, fits: Sequence[KeptFit]) -> None:
    """Refuse to replace a submission by one that predicts less."""
    new = {(regime, fit.seed, fit.fold) for fit in fits for regime in (*fit.regimes, *fit.refusals)}
    old = set(one.blocks) | {
        (regime, *at) for at, told in one.told.items() for regime in told.refusals
    }
    if lost := sorted(old - new):
        regime, seed, fold = lost[0]
        msg = (
            f"{one.folder} holds regime {regime} of seed {seed}, fold {fold}, which these results "
            "lack; delete that folder first if it is to be replaced"
        )
        raise ResultError(msg)


def _told(fits: Sequence[KeptFit]) -> str:
    """Text of cells.json."""
    ordered = sorted(fits, key=lambda fit: (fit.seed, fit.fold))
    listed = [{"record": fit.record, "refusals": fit.refusals} for fit in ordered]
    value = {"schema": SCHEMA, "cells": listed}
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _train(fits: Sequence[KeptFit]) -> str:
    """Text of train.csv: every patient once, with the folds they trained in.

    Raises
    ------
    ResultError
        Two seeds of a fold were trained on different patients, or on other outcomes.
    """
    outcome: dict[str, tuple[str, str]] = {}
    folds: dict[str, set[int]] = defaultdict(set)
    patients: dict[int, frozenset[str]] = {}
    for fit in fits:
        case_id, time, event = fit.train_outcome()
        here = frozenset(case_id.tolist())
        same = patients.setdefault(fit.fold, here) == here
        for case, months, death in zip(
            case_id.tolist(), time.tolist(), event.tolist(), strict=True
        ):
            said = (repr(months), str(int(death)))
            same &= outcome.setdefault(case, said) == said
            folds[case].add(fit.fold)
        if not same:
            msg = f"{fit.place}: train.csv differs from that of another seed or fold; run it again"
            raise ResultError(msg)
    lines = [(case, *outcome[case], " ".join(map(str, sorted(folds[case])))) for case in outcome]
    return _csv([(*OUTCOME, "folds"), *sorted(lines)])


def _predictions(fits: Sequence[KeptFit]) -> str:
    """Text of the predictions: the fits' own lines one below the other, sorted."""
    tables = {
        (regime, fit.seed, fit.fold): fit.prediction_lines(regime)
        for fit in fits
        for regime in fit.regimes
    }
    columns = _columns([table[0] for table in tables.values()])
    lines: list[Sequence[object]] = [(*KEY, *columns)]
    for place, (header, *rows) in sorted(tables.items()):
        at = {name: position for position, name in enumerate(header)}
        lines.extend(
            (*place, *(row[at[name]] if name in at else "" for name in columns)) for row in rows
        )
    return _csv(lines)


def _columns(headers: Sequence[Sequence[str]]) -> list[str]:
    """Columns of all tables: the outcome and risk, the curve, who has what, the rest."""
    known = list(dict.fromkeys(name for header in headers for name in header))
    curve = [name for name in known if name.startswith(SURVIVAL)]
    numbered = sorted(curve, key=lambda name: int(name.removeprefix(SURVIVAL)))
    start = [*OUTCOME, "risk", *numbered]
    has = sorted(name for name in known if name.startswith("has_"))
    return [*start, *has, *(name for name in known if name not in {*start, *has})]


def _csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _zipped(text: str) -> bytes:
    """Gzip without a name and a time, so that the same text is the same bytes."""
    data = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=data, compresslevel=_LEVEL, mtime=0) as file:
        file.write(text.encode())
    return data.getvalue()
