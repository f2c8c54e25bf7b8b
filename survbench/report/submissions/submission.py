"""Submissions: the predictions of one setting in a folder that anyone can score again.

    <root>/<cohort>/<method>/<setting>/
        cells.json          record and refusals of every seed and fold
        train.csv           case_id,time,event,folds: who trained in which folds
        predictions.csv.gz  regime,seed,fold and the columns of a prediction file
        SHA256SUMS

There are no scores and no weights. Who trains depends on the fold alone, so one line per patient
holds what each cell of the results keeps in a file of its own. Whoever sends a submission is not
trusted: names, links, sizes, schemas and hashes are checked before anything is used.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from survbench.bench.kept import KeptFit
from survbench.bench.records import wrong_record
from survbench.bench.setting import Setting
from survbench.cohort import Regime
from survbench.cohort.text_table import check_case_id
from survbench.errors import InputError, ResultError
from survbench.report.submissions.untrusted import (
    FRESH,
    check_names,
    read_bytes,
    read_object,
    read_zipped_rows,
)
from survbench.score.predictions import (
    Array,
    Mask,
    PredictionTable,
    parse_predictions,
    read_outcome,
)

SCHEMA = 1
CELLS, TRAIN, PREDICTIONS, SUMS = "cells.json", "train.csv", "predictions.csv.gz", "SHA256SUMS"
FILES = (CELLS, PREDICTIONS, TRAIN)
KEY = ("regime", "seed", "fold")
_NUMBER = re.compile("[0-9]{1,9}")

Place = tuple[str, int, int]  # regime, seed, fold


@dataclass(frozen=True)
class Block:
    """Rows of one regime, seed and fold, with the row of the file where they begin."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    first: int


@dataclass(frozen=True, eq=False)
class Told:
    """What cells.json says of one seed and fold."""

    record: dict[str, Any]
    refusals: Mapping[str, str]


@dataclass(frozen=True)
class Submission:
    """One setting of a method on a cohort, as somebody sent it.

    Parameters
    ----------
    root : Path
        The folder of all submissions.
    cohort, method, setting : str
        Which one.
    """

    root: Path
    cohort: str
    method: str
    setting: str

    @property
    def place(self) -> str:
        """Path inside the root."""
        return f"{self.cohort}/{self.method}/{self.setting}"

    @property
    def folder(self) -> Path:
        """The submission's folder."""
        return self.root / self.place

    @cached_property
    def told(self) -> dict[tuple[int, int], Told]:
        """What is recorded of every (seed, fold).

        Raises
        ------
        ResultError
            cells.json is damaged, of a later schema, or about another setting than its folder.
        """
        value = read_object(self.folder / CELLS, self._bytes(CELLS))
        if value.get("schema") not in range(1, SCHEMA + 1):
            self._refuse(
                CELLS,
                f"has schema {value.get('schema')!r}, this survbench reads up to {SCHEMA}",
                "upgrade survbench",
            )
        told, cells = {}, value.get("cells")
        listed = cells if isinstance(cells, list) else []
        for number, cell in enumerate(listed):
            one = self._told(number, cell)
            told[one.record["seed"], one.record["fold"]] = one
        if not told or len(told) < len(listed):
            self._refuse(CELLS, "must hold each seed and fold once", "pack the results again")
        return told

    @cached_property
    def blocks(self) -> dict[Place, Block]:
        """Text of the predictions by (regime, seed, fold), as the file holds them."""
        path = self.folder / PREDICTIONS
        header, *lines = read_zipped_rows(path, self._bytes(PREDICTIONS))
        if tuple(header[: len(KEY)]) != KEY:
            self._refuse(PREDICTIONS, f"row 1: the first columns must be {', '.join(KEY)}")
        rows: dict[Place, list[tuple[str, ...]]] = {}
        first: dict[Place, int] = {}
        before: Place | None = None
        for number, line in enumerate(lines, start=2):
            place = self._place_of(number, line, len(header))
            if before is not None and place < before:
                self._refuse(PREDICTIONS, f"row {number}: {named(place)} stands out of order")
            before = place
            rows.setdefault(place, []).append(tuple(line[len(KEY) :]))
            first.setdefault(place, number)
        return {at: _block(header[len(KEY) :], rows[at], first[at]) for at in rows}

    @cached_property
    def trained(self) -> dict[int, tuple[NDArray[np.str_], Array, Mask]]:
        """Case ids, months and events of the training patients of every fold."""
        self._bytes(TRAIN)
        path = self.folder / TRAIN
        case_id, time, event = read_outcome(path)
        _check_ids(case_id, str(path))
        with path.open(encoding="utf-8", newline="") as file:
            listed = [(line.get("folds") or "").split() for line in csv.DictReader(file)]
        within = {}
        for fold in sorted({fold for _, fold in self.told}):
            rows = np.array([str(fold) in folds for folds in listed])
            if not rows.any():
                self._refuse(TRAIN, f"has no training patient of fold {fold}")
            within[fold] = (case_id[rows], time[rows], event[rows])
        return within

    @cached_property
    def fits(self) -> tuple[SubmittedFit, ...]:
        """Every seed and fold, in order.

        Raises
        ------
        ResultError
            The submission is damaged, or predicts what cells.json does not know.
        """
        for regime, seed, fold in self.blocks:
            if (seed, fold) not in self.told:
                self._refuse(PREDICTIONS, f"holds seed {seed}, fold {fold}, unknown to {CELLS}")
            try:
                text = str(Regime.parse(regime))
            except InputError as error:
                self._refuse(PREDICTIONS, f"holds {error}")
            if text != regime:
                self._refuse(PREDICTIONS, f"holds regime {regime!r}", f"write {text}")
        return tuple(
            SubmittedFit(self.cohort, self.method, self.setting, seed, fold, self)
            for seed, fold in sorted(self.told)
        )

    def read(self) -> tuple[SubmittedFit, ...]:
        """Every seed and fold, once all files are read and found whole."""
        for place in self.blocks:
            self.prediction(place)
        return self.fits if self.trained else ()

    def prediction(self, place: Place) -> PredictionTable:
        """Predictions of a regime, seed and fold."""
        if place not in self.blocks:
            self._refuse(PREDICTIONS, f"holds no {named(place)}")
        if place not in self._tables:
            block = self.blocks[place]
            path = self.folder / PREDICTIONS
            table = parse_predictions(path, block.header, block.rows, block.first)
            _check_ids(table.case_id, f"{path}, {named(place)}")
            self._tables[place] = table
        return self._tables[place]

    # -- inside

    @cached_property
    def _tables(self) -> dict[Place, PredictionTable]:
        """Predictions read so far: rows and marks of one fit ask for them in turn."""
        return {}

    def _told(self, number: int, cell: Any) -> Told:
        """One entry of cells.json, which must be about this setting."""
        entry = cell if isinstance(cell, dict) else {}
        refusals = entry.get("refusals", {})
        if wrong := wrong_record(entry.get("record")):
            self._refuse(CELLS, f"cell {number}: {wrong}")
        record = entry["record"]
        try:
            setting = Setting(**record["setting"])
            said = (record["cohort"], setting.method, setting.id)
        except TypeError as error:
            self._refuse(CELLS, f"cell {number}: its setting cannot be read: {error}")
        if said != (self.cohort, self.method, self.setting):
            self._refuse(CELLS, f"cell {number} is about {'/'.join(map(str, said))}")
        if not isinstance(refusals, dict) or not all(isinstance(r, str) for r in refusals.values()):
            self._refuse(CELLS, f"cell {number}: refusals are no reasons by regime")
        return Told(record, refusals)

    def _place_of(self, number: int, line: Sequence[str], width: int) -> Place:
        if len(line) != width:
            self._refuse(PREDICTIONS, f"row {number}: {len(line)} cells; the header has {width}")
        regime, seed, fold = line[: len(KEY)]
        if not (_NUMBER.fullmatch(seed) and _NUMBER.fullmatch(fold)):
            what = f"seed {seed[:20]!r}, fold {fold[:20]!r}"
            self._refuse(PREDICTIONS, f"row {number}: {what}; need numbers")
        return regime, int(seed), int(fold)

    def _bytes(self, name: str) -> bytes:
        """A file of the submission, checked against its hash."""
        data = read_bytes(self.folder / name)
        if self._sums.get(name) != hashlib.sha256(data).hexdigest():
            self._refuse(name, f"is damaged: its sha256 is not the one in {SUMS}")
        return data

    @cached_property
    def _sums(self) -> dict[str, str]:
        """Sha256 of each file; exactly the files of a submission are named."""
        lines = read_bytes(self.folder / SUMS).decode("utf-8", "replace").splitlines()
        parts = [line.split(maxsplit=1) for line in lines]
        sums = {part[1]: part[0] for part in parts if len(part) == 2}
        if sorted(sums) != sorted(FILES) or len(lines) != len(FILES):
            self._refuse(SUMS, f"must name {', '.join(FILES)} and nothing else")
        return sums

    def _refuse(self, name: str, what: str, remedy: str = FRESH) -> NoReturn:
        msg = f"{self.folder / name} {what}; {remedy}"
        raise ResultError(msg)


@dataclass(frozen=True)
class SubmittedFit(KeptFit):
    """One seed and fold of a submission."""

    cohort: str
    method: str
    setting: str
    seed: int
    fold: int
    submission: Submission

    @property
    def record(self) -> dict[str, Any]:
        """What is known of the fit."""
        return self.submission.told[self.seed, self.fold].record

    @property
    def regimes(self) -> list[str]:
        """Test regimes with predictions, sorted."""
        blocks = self.submission.blocks
        return sorted(regime for regime, *at in blocks if at == [self.seed, self.fold])

    @property
    def refusals(self) -> Mapping[str, str]:
        """Reason of every regime the method cannot predict."""
        return self.submission.told[self.seed, self.fold].refusals

    def prediction(self, regime: str) -> PredictionTable:
        """Predictions of a regime."""
        return self.submission.prediction((regime, self.seed, self.fold))

    def prediction_lines(self, regime: str) -> list[Sequence[str]]:
        """Text of the same, the header first."""
        block = self.submission.blocks[regime, self.seed, self.fold]
        return [block.header, *block.rows]

    def train_outcome(self) -> tuple[NDArray[np.str_], Array, Mask]:
        """Case ids, months and events of the training patients."""
        return self.submission.trained[self.fold]


def find_submissions(root: str | Path, cohort: str | None = None) -> list[Submission]:
    """Submissions below a folder, sorted by path; their files are read when they are used.

    Raises
    ------
    ResultError
        There is no such folder, or what lies where submissions lie has no name of one.
    """
    top = Path(root)
    if not top.is_dir():
        msg = f"no folder {str(root)!r}; give one that holds <cohort>/<method>/<setting>"
        raise ResultError(msg)
    found = []
    for folder in sorted(path for path in top.glob("*/*/*") if path.is_dir()):
        parts = folder.relative_to(top).parts
        if parts[0].startswith((".", "_")) or cohort not in (None, parts[0]):
            continue
        if any(path.is_symlink() for path in (folder, *folder.parents[:2])):
            msg = f"{folder} is reached by a link; a submission is made of plain folders"
            raise ResultError(msg)
        check_names(*parts)
        found.append(Submission(top, *parts))
    return found


def submitted_fits(root: str | Path, cohort: str | None = None) -> list[KeptFit]:
    """Fits of every submission below a folder: what `score_fits` makes rows of."""
    return [fit for one in find_submissions(root, cohort) for fit in one.fits]


def _check_ids(case_id: NDArray[np.str_], place: str) -> None:
    for case in case_id.tolist():
        check_case_id(case, place)


def _block(header: Sequence[str], rows: Sequence[tuple[str, ...]], first: int) -> Block:
    """Rows without the columns that only other blocks have."""
    own = [at for at in range(len(header)) if any(row[at] for row in rows)]
    return Block(
        tuple(header[at] for at in own),
        tuple(tuple(row[at] for at in own) for row in rows),
        first,
    )


def named(place: Place) -> str:
    """A regime, seed and fold in words."""
    regime, seed, fold = place
    return f"regime {regime}, seed {seed}, fold {fold}"
