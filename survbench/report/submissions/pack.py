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
)
from survbench.report.submissions.untrusted import check_names
from survbench.score.predictions import OUTCOME, SURVIVAL

_LEVEL = 9  # of gzip


@dataclass(frozen=True)
class Packed:
    """A submission that was written: how many fits it holds, its bytes, and whether it is new."""

    submission: Submission
    fits: int
    size: int
    changed: bool


def pack(
    results: str | Path,
    to: str | Path,
    *,
    cohort: str | None = None,
    methods: Collection[str] = (),
    settings: Collection[str] = (),
) -> list[Packed]:
    """Write the settings of a results folder as submissions below `to`; no negative controls.

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
        A file is damaged, a setting is incomplete, or a submission that is there holds what these
        results lack.
    UnknownNameError
        The results hold no such method or setting.
    """
    chosen = _chosen(results, to, cohort, methods, settings)
    sent = {name: cells for name, cells in chosen.items() if not is_control(cells[0])}
    return [_write(Submission(Path(to), *name), cells) for name, cells in sent.items()]


def pack_control(
    results: str | Path,
    to: str | Path,
    *,
    cohort: str | None = None,
    methods: Collection[str] = (),
    settings: Collection[str] = (),
) -> dict[str, int]:
    """Add the negative controls of a results folder to those below `to`; see `pack`.

    Returns how many permutations, each of a setting under a regime, every cohort has now.
    """
    chosen = _chosen(results, to, cohort, methods, settings)
    fits = [cell for cells in chosen.values() if is_control(cells[0]) for cell in cells]
    return keep_permutations(Path(to), permutations(fits))


def _chosen(
    results: str | Path,
    to: str | Path,
    cohort: str | None,
    methods: Collection[str],
    settings: Collection[str],
) -> dict[tuple[str, str, str], list[Cell]]:
    """Whole settings that were asked for, by cohort, method and setting."""
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
    for group in chosen.values():
        _check(group)
    return chosen


def _check_known(kind: str, asked: Collection[str], known: Collection[str]) -> None:
    for name in sorted(set(asked) - set(known)):
        what = f"{kind} in these results"
        raise UnknownNameError(what, name, known, "'survbench leaderboard --results'")


def _check(cells: Sequence[Cell]) -> None:
    """Refuse a setting that is incomplete."""
    first = cells[0]
    place = first.place.rpartition("/")[0]
    check_names(first.cohort, first.method, first.setting)
    regimes = {regime for cell in cells for regime in (*cell.regimes, *cell.refusals)}
    there = {(cell.seed, cell.fold) for cell in cells}
    wanted = {(seed, fold) for seed, _ in there for _, fold in there}
    if gone := sorted(wanted - there):
        msg = f"{place} lacks seed {gone[0][0]} of fold {gone[0][1]}; run what is missing first"
        raise ResultError(msg)
    for cell in cells:
        if lacks := cell.missing(sorted(regimes)):
            msg = f"{cell.place} lacks regime {lacks[0]}; run what is missing first"
            raise ResultError(msg)


def _write(one: Submission, cells: Sequence[Cell]) -> Packed:
    """Write a submission whole, or leave what is there."""
    files = {
        CELLS: _told(cells).encode(),
        PREDICTIONS: _zipped(_predictions(cells)),
        TRAIN: _train(cells).encode(),
    }
    sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in FILES]
    files[SUMS] = "".join(sums).encode()
    size = sum(map(len, files.values()))
    if one.folder.exists():
        names = [name for name in files if (one.folder / name).is_file()]
        if {name: (one.folder / name).read_bytes() for name in names} == files:
            return Packed(one, len(cells), size, changed=False)
        _check_nothing_lost(one, cells)
    work = one.root / WORK
    with temporary_folder(work) as folder, writing(one.place):
        for name, data in files.items():
            (folder / name).write_bytes(data)
        shutil.rmtree(one.folder, ignore_errors=True)
        adopt(folder, one.folder)
    with contextlib.suppress(OSError):  # somebody else is at work in it
        work.rmdir()
    return Packed(one, len(cells), size, changed=True)


def _check_nothing_lost(one: Submission, cells: Sequence[Cell]) -> None:
    """Refuse to replace a submission by one that predicts less."""
    new = {
        (regime, cell.seed, cell.fold)
        for cell in cells
        for regime in (*cell.regimes, *cell.refusals)
    }
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


def _told(cells: Sequence[Cell]) -> str:
    """Text of cells.json."""
    ordered = sorted(cells, key=lambda cell: (cell.seed, cell.fold))
    listed = [{"record": cell.record, "refusals": cell.refusals} for cell in ordered]
    value = {"schema": SCHEMA, "cells": listed}
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _train(cells: Sequence[Cell]) -> str:
    """Text of train.csv: every patient once, with the folds they trained in.

    Raises
    ------
    ResultError
        Two seeds of a fold were trained on different patients, or on other outcomes.
    """
    outcome: dict[str, tuple[str, str]] = {}
    folds: dict[str, set[int]] = defaultdict(set)
    patients: dict[int, frozenset[str]] = {}
    for cell in cells:
        case_id, time, event = cell.train_outcome()
        here = frozenset(case_id.tolist())
        same = patients.setdefault(cell.fold, here) == here
        for case, months, death in zip(
            case_id.tolist(), time.tolist(), event.tolist(), strict=True
        ):
            said = (repr(months), str(int(death)))
            same &= outcome.setdefault(case, said) == said
            folds[case].add(cell.fold)
        if not same:
            msg = f"{cell.place}: train.csv differs from that of another seed or fold; run it again"
            raise ResultError(msg)
    lines = [(case, *outcome[case], " ".join(map(str, sorted(folds[case])))) for case in outcome]
    return _csv([(*OUTCOME, "folds"), *sorted(lines)])


def _predictions(cells: Sequence[Cell]) -> str:
    """Text of the predictions: the cells' own files one below the other, sorted."""
    tables = {
        (regime, cell.seed, cell.fold): list(csv.reader(cell.prediction_text(regime).splitlines()))
        for cell in cells
        for regime in cell.regimes
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
