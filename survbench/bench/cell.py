"""One cell of the results: its folder, what is in it, and whether that is whole.

A cell is one setting, seed and fold. Its fit is written once and never changed:

    <results>/<cohort>/<method>/<setting>/seed<s>-fold<k>/
        cell.json  train.csv  fit.json  weights.safetensors  SHA256SUMS
        predictions/<regime>.csv + <regime>.sha256 | <regime>.refused.json | <regime>.failed.json

A cell whose fit failed holds failed.json alone. Nobody else parses these files.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survbench.bench.disk import (
    WORK,
    Lock,
    adopt,
    flush,
    sha256_of,
    sums_line,
    temporary_folder,
    write_whole,
    writing,
)
from survbench.bench.kept import KeptFit
from survbench.bench.note import read_json, read_note, write_json
from survbench.bench.records import wrong_record
from survbench.bench.table import outcome_columns, prediction_columns, write_table
from survbench.cohort import Cohort
from survbench.errors import ResultError
from survbench.method import Prediction
from survbench.score.predictions import (
    Array,
    Mask,
    PredictionTable,
    read_outcome,
    read_predictions,
)

SCHEMA = 1
SUMS = "SHA256SUMS"
UNFINISHED = ".unfinished"  # inside the results folder
FAILED = "failed.json"
_ALWAYS = {"cell.json", "train.csv"}  # files without which there is no fit
_KEPT = {"fit.json", "weights.safetensors"}  # what a method that can be saved adds
_FOLDER = re.compile(r"seed(\d+)-fold(\d+)")


@dataclass(frozen=True)
class Cell(KeptFit):
    """Where one fit and its predictions are kept; every reader checks what it reads.

    Parameters
    ----------
    results : Path
        The results folder.
    cohort, method, setting : str
        Name of the cohort, name of the method, id of the setting.
    seed, fold : int
        Which fit of the setting.
    """

    results: Path
    cohort: str
    method: str
    setting: str
    seed: int
    fold: int

    def __str__(self) -> str:
        return f"{self.method} seed {self.seed} fold {self.fold}"

    @property
    def folder(self) -> Path:
        """The cell's folder."""
        return self.results / self.place

    @property
    def bookmark(self) -> Path:
        """Where a long fit that is not finished is kept; outlives the run that writes it."""
        return self.results / UNFINISHED / f"{self.place.replace('/', '-')}.pt"

    @property
    def lock(self) -> Lock:
        """Lock that whoever writes the cell holds; its folder takes temporary files."""
        return Lock(self.results / WORK, self.place.replace("/", "-"))

    # -- what is there

    @property
    def whole(self) -> bool:
        """Whether the fit (or its refusal) is there.

        Raises
        ------
        ResultError
            Only a part of it is there: somebody removed the rest.
        """
        # looked at first, for a fit arrives with all of its files at once
        begun = any((self.folder / name).exists() for name in ("cell.json", "predictions"))
        if (self.folder / SUMS).is_file():
            return True
        if begun:
            raise self._damaged(self.folder / SUMS, "is gone")
        return False

    @property
    def regimes(self) -> list[str]:
        """Test regimes with predictions, sorted."""
        return self._named(".csv")

    @property
    def refusals(self) -> dict[str, str]:
        """Reason of every regime the method cannot predict."""
        return self._told(".refused.json", "reason")

    @property
    def failures(self) -> dict[str, str]:
        """Error of every regime whose prediction failed; "fit" where the fit did.

        What is there after all, as when its writer died in the act of saying so, has not failed.
        """
        failed = self._told(".failed.json", "error")
        fit = read_note(self.folder / FAILED, "error")
        if fit is not None and not self.whole:
            failed["fit"] = fit
        undone = {"fit", *self.missing(list(failed))} if failed else ()
        return {stage: error for stage, error in failed.items() if stage in undone}

    def missing(self, regimes: Sequence[str]) -> list[str]:
        """Those regimes that have neither predictions nor a refusal."""
        there = {*self.regimes, *self.refusals}
        return [regime for regime in regimes if regime not in there]

    # -- reading

    @cached_property
    def record(self) -> dict[str, Any]:
        """What cell.json says."""
        self._check("cell.json")
        record = read_json(self.folder / "cell.json")
        schema = record.get("schema")
        if not isinstance(schema, int) or schema > SCHEMA:
            msg = (
                f"{self.folder / 'cell.json'} has schema {schema!r}, this survbench reads up to "
                f"{SCHEMA}; upgrade survbench"
            )
            raise ResultError(msg)
        if wrong := wrong_record(record):
            raise self._damaged(self.folder / "cell.json", f"was not written by a run: {wrong}")
        return record

    def prediction(self, regime: str) -> PredictionTable:
        """Prediction file of a regime, checked against its hash.

        Raises
        ------
        ResultError
            The file is not what was written, or there is none.
        """
        self._check_prediction(regime)
        return read_predictions(self._prediction_file(regime, ".csv"))

    def train_outcome(self) -> tuple[NDArray[np.str_], Array, Mask]:
        """Case ids, months and events of the training patients."""
        self._check("train.csv")
        return read_outcome(self.folder / "train.csv")

    def prediction_lines(self, regime: str) -> list[Sequence[str]]:
        """Cells of a prediction file as it is written, checked as `prediction` does."""
        self.prediction(regime)
        text = self._prediction_file(regime, ".csv").read_text(encoding="utf-8")
        return list(csv.reader(text.splitlines()))

    def verify(self) -> None:
        """Check every file of the cell against its hash.

        Raises
        ------
        ResultError
            One is damaged or gone; the message says what to delete.
        """
        there = {name for name in _KEPT if (self.folder / name).exists()}
        for name in sorted({*_ALWAYS, *there, *self._sums}):
            self._check(name)
        for regime in self.regimes:
            self._check_prediction(regime)

    # -- writing

    def write_fit(
        self, record: Mapping[str, Any], train: Cohort, save: Callable[[Path], None]
    ) -> None:
        """Write the fit under a temporary name and rename it; an identical earlier one stays."""
        with temporary_folder(self.lock.folder) as folder, writing(f"the fit of {self}"):
            (folder / "predictions").mkdir()
            write_json(folder / "cell.json", {"schema": SCHEMA, **record})
            write_table(folder / "train.csv", outcome_columns(train))
            save(folder)
            names = sorted(path.name for path in folder.iterdir() if path.is_file())
            sums = "".join(sums_line(folder / name) for name in names)
            (folder / SUMS).write_text(sums, encoding="utf-8")
            flush(folder)
            self.forget_failure("fit")
            if not adopt(folder, self.folder) and not self.whole:
                msg = f"{self.folder} holds files that are no cell; delete it and run again"
                raise ResultError(msg)

    def write_prediction(self, regime: str, cohort: Cohort, prediction: Prediction) -> None:
        """Add the predictions of one regime; `cohort` is what the method saw, in its order."""
        path = self._prediction_file(regime, ".csv")
        with temporary_folder(self.lock.folder) as folder, writing(f"{regime} of {self}"):
            made = folder / path.name
            write_table(made, prediction_columns(cohort, prediction))
            # The hash goes first: a file without one is taken for damaged.
            hash_file = self._prediction_file(regime, ".sha256")
            write_whole(hash_file, sums_line(made), self.lock.folder)
            flush(folder)
            self.forget_failure(regime)
            made.replace(path)

    def refuse(self, regime: str, reason: str) -> None:
        """Keep why the method cannot predict a regime: a dash in every table."""
        self.forget_failure(regime)
        self._write_note(self._prediction_file(regime, ".refused.json"), {"reason": reason})

    def fail(self, stage: str, failure: Mapping[str, Any]) -> None:
        """Keep how the fit ("fit") or the prediction of a regime failed."""
        self._write_note(self._failure_file(stage), {"stage": stage, **failure})

    def forget_failure(self, stage: str) -> None:
        """Drop a kept failure, and the folder when it held nothing else."""
        with writing(f"{stage} of {self}"):
            self._failure_file(stage).unlink(missing_ok=True)
            if stage == "fit" and self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    # -- inside

    def _prediction_file(self, regime: str, suffix: str) -> Path:
        return self.folder / "predictions" / f"{regime}{suffix}"

    def _failure_file(self, stage: str) -> Path:
        if stage == "fit":
            return self.folder / FAILED
        return self._prediction_file(stage, ".failed.json")

    def _write_note(self, path: Path, note: Mapping[str, Any]) -> None:
        text = json.dumps({"schema": SCHEMA, **note}, indent=1, sort_keys=True) + "\n"
        write_whole(path, text, self.lock.folder)

    def _named(self, suffix: str) -> list[str]:
        files = self.folder.glob(f"predictions/*{suffix}")
        return sorted(file.name.removesuffix(suffix) for file in files)

    def _told(self, suffix: str, key: str) -> dict[str, str]:
        notes = {
            regime: read_note(self._prediction_file(regime, suffix), key)
            for regime in self._named(suffix)
        }
        return {regime: note for regime, note in notes.items() if note is not None}

    @cached_property
    def _sums(self) -> dict[str, str]:
        """Sha256 of each file of the fit."""
        path = self.folder / SUMS
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
        except (OSError, ValueError) as error:
            raise self._damaged(path, "cannot be read") from error

    def _check(self, name: str) -> None:
        path = self.folder / name
        if not path.is_file():
            raise self._damaged(path, "is gone")
        if self._sums.get(name) != sha256_of(path):
            raise self._damaged(path, f"is damaged: its sha256 is not the one in {SUMS}")

    def _check_prediction(self, regime: str) -> None:
        path = self._prediction_file(regime, ".csv")
        if not path.is_file():
            msg = f"{path} does not exist; run the method with --missing {regime}"
            raise ResultError(msg)
        wanted = self._prediction_file(regime, ".sha256")
        told = wanted.read_bytes() if wanted.is_file() else b""
        if told != sums_line(path).encode():
            msg = (
                f"{path} is damaged: its sha256 is not the one in {wanted.name}; delete the file "
                "and run the same command again, it is then predicted anew from the fit"
            )
            raise ResultError(msg)

    def _damaged(self, path: Path, what: str) -> ResultError:
        return ResultError(
            f"{path} {what}; delete the folder {self.folder} and run the same command again, the "
            "cell is then fitted anew"
        )


def find_cells(results: str | Path, cohort: str | None = None) -> list[Cell]:
    """Cells of a results folder that hold a fit or a refusal, sorted by path.

    Raises
    ------
    ResultError
        There is no such folder.
    """
    return [cell for cell in _all_cells(results, cohort) if cell.whole]


def find_failures(results: str | Path, cohort: str | None = None) -> list[tuple[Cell, str, str]]:
    """What failed in a results folder: (cell, "fit" or the regime, error)."""
    cells = _all_cells(results, cohort)
    return [(cell, stage, told) for cell in cells for stage, told in cell.failures.items()]


def _all_cells(results: str | Path, cohort: str | None) -> Iterator[Cell]:
    root = Path(results)
    if not root.is_dir():
        msg = f"results folder {str(results)!r} does not exist; see 'survbench run'"
        raise ResultError(msg)
    for folder in sorted(root.glob("*/*/*/seed*-fold*")):
        found, parts = _FOLDER.fullmatch(folder.name), folder.relative_to(root).parts
        if found is None or parts[0] == WORK or cohort not in (None, parts[0]):
            continue
        in_cohort, method, setting, _ = parts
        yield Cell(root, in_cohort, method, setting, int(found[1]), int(found[2]))
