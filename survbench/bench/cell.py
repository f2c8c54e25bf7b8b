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
    temporary_folder,
    write_whole,
    writing,
)
from survbench.bench.kept import KeptFit
from survbench.cohort import Cohort
from survbench.errors import ResultError
from survbench.method import Prediction
from survbench.score.predictions import (
    SURVIVAL,
    Array,
    Mask,
    PredictionTable,
    read_outcome,
    read_predictions,
)

SCHEMA = 1
SUMS = "SHA256SUMS"
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
    def place(self) -> str:
        """Path inside the results folder."""
        own = f"seed{self.seed}-fold{self.fold}"
        return f"{self.cohort}/{self.method}/{self.setting}/{own}"

    @property
    def folder(self) -> Path:
        """The cell's folder."""
        return self.results / self.place

    @property
    def lock(self) -> Lock:
        """Lock that whoever writes the cell holds; its folder takes temporary files."""
        return Lock(self.results / WORK, self.place.replace("/", "-"))

    # -- what is there

    @property
    def whole(self) -> bool:
        """Whether the fit (or its refusal) is there."""
        return (self.folder / SUMS).is_file()

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
        """Error of every regime whose prediction failed; "fit" where the fit did."""
        failed = self._told(".failed.json", "error")
        if (self.folder / "failed.json").is_file():
            failed["fit"] = _read_json(self.folder / "failed.json")["error"]
        return failed

    def missing(self, regimes: Sequence[str]) -> list[str]:
        """Those regimes that have neither predictions nor a refusal."""
        there = {*self.regimes, *self.refusals}
        return [regime for regime in regimes if regime not in there]

    # -- reading

    @cached_property
    def record(self) -> dict[str, Any]:
        """What cell.json says."""
        self._check("cell.json")
        record = _read_json(self.folder / "cell.json")
        if record.get("schema", SCHEMA + 1) > SCHEMA:
            msg = (
                f"{self.folder / 'cell.json'} has schema {record.get('schema')}, this survbench "
                f"reads up to {SCHEMA}; upgrade survbench"
            )
            raise ResultError(msg)
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

    def prediction_text(self, regime: str) -> str:
        """Prediction file of a regime as it is written, checked as `prediction` does."""
        self.prediction(regime)
        return self._prediction_file(regime, ".csv").read_text(encoding="utf-8")

    def verify(self) -> None:
        """Check every file of the cell against its hash.

        Raises
        ------
        ResultError
            One is damaged or gone; the message says what to delete.
        """
        for name in self._sums:
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
            _write_json(folder / "cell.json", {"schema": SCHEMA, **record})
            _write_table(folder / "train.csv", _outcome(train))
            save(folder)
            names = sorted(path.name for path in folder.iterdir() if path.is_file())
            sums = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in names)
            (folder / SUMS).write_text(sums, encoding="utf-8")
            flush(folder)
            self.forget_failure("fit")
            adopt(folder, self.folder)

    def write_prediction(self, regime: str, cohort: Cohort, prediction: Prediction) -> None:
        """Add the predictions of one regime; `cohort` is what the method saw, in its order."""
        path = self._prediction_file(regime, ".csv")
        with temporary_folder(self.lock.folder) as folder, writing(f"{regime} of {self}"):
            made = folder / path.name
            _write_table(made, _columns(cohort, prediction))
            sums = f"{sha256_of(made)}  {path.name}\n"
            # The hash goes first: a file without one would look as good as a checked one.
            write_whole(self._prediction_file(regime, ".sha256"), sums, self.lock.folder)
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
            return self.folder / "failed.json"
        return self._prediction_file(stage, ".failed.json")

    def _write_note(self, path: Path, note: Mapping[str, Any]) -> None:
        text = json.dumps({"schema": SCHEMA, **note}, indent=1, sort_keys=True) + "\n"
        write_whole(path, text, self.lock.folder)

    def _named(self, suffix: str) -> list[str]:
        files = self.folder.glob(f"predictions/*{suffix}")
        return sorted(file.name.removesuffix(suffix) for file in files)

    def _told(self, suffix: str, key: str) -> dict[str, str]:
        return {
            regime: _read_json(self._prediction_file(regime, suffix))[key]
            for regime in self._named(suffix)
        }

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
        if wanted.is_file() and wanted.read_text(encoding="utf-8").split()[:1] != [sha256_of(path)]:
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


def _outcome(cohort: Cohort) -> dict[str, NDArray[Any]]:
    return {"case_id": cohort.case_id, "time": cohort.time, "event": cohort.event}


def _columns(cohort: Cohort, prediction: Prediction) -> dict[str, NDArray[Any]]:
    """Columns of a prediction file."""
    if not np.array_equal(prediction.case_id, cohort.case_id):
        msg = "a prediction is not about the patients it was asked for"
        raise ResultError(msg)
    columns = {**_outcome(cohort), "risk": prediction.risk}
    if prediction.survival is not None:
        for number, column in enumerate(np.transpose(prediction.survival), start=1):
            columns[f"{SURVIVAL}{number}"] = column
    columns |= {f"has_{name}": part.present for name, part in cohort.modalities.items()}
    return columns | dict(prediction.diagnostics)


def _write_table(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """CSV whose numbers read back bit-equal: every float as the shortest text of its float64."""
    rows = zip(*(_texts(np.asarray(column)) for column in columns.values()), strict=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _texts(column: NDArray[Any]) -> list[str]:
    if column.dtype == bool:
        return [str(int(value)) for value in column]
    if np.issubdtype(column.dtype, np.floating):
        return [repr(value) for value in column.astype(np.float64).tolist()]
    return [str(value) for value in column.tolist()]


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}; delete it and run the same command again"
        raise ResultError(msg) from error
    return dict(value)
