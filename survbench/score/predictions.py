"""Predictions of one fit on its test fold, as arrays and as the CSV file they are kept in."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from survbench.errors import ResultError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
T = TypeVar("T")

OUTCOME = ("case_id", "time", "event")
SURVIVAL = "survival_"
_TRUTH = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
_ROUNDING = 1e-6  # a survival curve in float32 may rise by as much


@dataclass(frozen=True)
class Score:
    """One number, or NaN and why there is none."""

    value: float
    reason: str = ""

    @classmethod
    def none(cls, reason: str) -> Score:
        """No number, for this reason."""
        return cls(float("nan"), reason)


@dataclass(frozen=True)
class Estimate:
    """One number with its interval, or NaN and why there is none."""

    value: float
    low: float
    high: float
    reason: str = ""

    @classmethod
    def none(cls, reason: str) -> Estimate:
        """No number, for this reason."""
        nan = float("nan")
        return cls(nan, nan, nan, reason)


@dataclass(frozen=True, eq=False)
class FoldPredictions:
    """What one fit (one seed, one fold) predicts for its test patients, and how they fared.

    Parameters
    ----------
    fold, seed : int
        Which fit.
    case_id, time, event, risk : array (N,)
        Test patients: months, whether death was seen, and risk (higher = earlier death).
    survival : array (N, K) or None
        S at the end of each interval.
    edges : array or None
        Finite edges, 0 first; one more than the survival columns they bound. Where the last
        interval is open, the last survival column has no finite edge and is not used.
    train_time, train_event : array or None
        The training patients of the fold, for the censoring model.
    train_median_risk : float or None
        Median risk of the training patients with nothing masked: a cut that could be deployed.
    """

    fold: int
    seed: int
    case_id: NDArray[np.str_]
    time: Array
    event: Mask
    risk: Array
    survival: Array | None = None
    edges: Array | None = None
    train_time: Array | None = None
    train_event: Mask | None = None
    train_median_risk: float | None = None

    def __len__(self) -> int:
        return len(self.case_id)


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Columns of a prediction file: the outcome, the risk, S(t), who has what, diagnostics."""

    case_id: NDArray[np.str_]
    time: Array
    event: Mask
    risk: Array
    survival: Array | None = None
    has: Mapping[str, Mask] = field(default_factory=dict)
    diagnostics: Mapping[str, Array] = field(default_factory=dict)


def read_predictions(path: str | Path) -> PredictionTable:
    """Prediction file `case_id,time,event,risk[,survival_1..K][,has_*][,diagnostics]`.

    Raises
    ------
    ResultError
        The file is damaged; the message names file, row (the header is row 1) and column.
    """
    return _predictions(_Table.read(Path(path), (*OUTCOME, "risk")))


def parse_predictions(
    path: str | Path, header: Sequence[str], rows: Sequence[Sequence[str]], first: int
) -> PredictionTable:
    """Predictions that are part of a larger file, as `read_predictions` reads them.

    Parameters
    ----------
    path : path
        The file, for messages.
    header : sequence of str
        Names of the columns.
    rows : sequence of sequences of str
        Cells of these patients.
    first : int
        Row of the file in which the first of them stands.

    Raises
    ------
    ResultError
        A cell is damaged; the message names file, row and column.
    """
    table = _Table(Path(path), tuple(header), tuple(map(tuple, rows)), first)
    table.check((*OUTCOME, "risk"))
    return _predictions(table)


def _predictions(table: _Table) -> PredictionTable:
    curves = [name for name in table.header if name.startswith(SURVIVAL)]
    if curves != [f"{SURVIVAL}{k}" for k in range(1, len(curves) + 1)]:
        msg = f"{table.path}: survival columns are {', '.join(curves)}; they must run 1, 2, ... K"
        raise ResultError(msg)
    has = [name for name in table.header if name.startswith("has_")]
    known = {*OUTCOME, "risk", *curves, *has}
    return PredictionTable(
        *table.outcome(),
        risk=table.numbers("risk"),
        survival=_survival(table, curves) if curves else None,
        has={name.removeprefix("has_"): table.flags(name) for name in has},
        diagnostics={
            name: table.numbers(name, finite=False) for name in table.header if name not in known
        },
    )


def read_outcome(path: str | Path) -> tuple[NDArray[np.str_], Array, Mask]:
    """Case ids, months and events of a `case_id,time,event` file such as train.csv."""
    return _Table.read(Path(path), OUTCOME).outcome()


def _survival(table: _Table, columns: Sequence[str]) -> Array:
    survival = np.stack([table.numbers(name) for name in columns], axis=1)  # (N, K)
    drop = -np.diff(survival, axis=1, prepend=1.0, append=0.0)
    wrong = np.argwhere(drop < -_ROUNDING)
    if len(wrong):
        row, column = wrong[0]
        name = columns[min(int(column), len(columns) - 1)]
        table.refuse(int(row), name, "a survival curve falls from 1 towards 0 and never rises")
    return np.minimum.accumulate(np.clip(survival, 0.0, 1.0), axis=1)


@dataclass(frozen=True)
class _Table:
    """Cells of a CSV file as text, with the place of each."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    first: int = 2  # row of the file in which the first of these rows stands

    @classmethod
    def read(cls, path: Path, needed: Sequence[str]) -> _Table:
        try:
            text = path.read_text(encoding="utf-8")
            lines = list(csv.reader(text.splitlines(), strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            msg = f"cannot read {path}: {reason}; run the cell again or take a fresh copy"
            raise ResultError(msg) from error
        if len(lines) < 2:
            msg = f"{path} has no patient in it; run the cell again or take a fresh copy"
            raise ResultError(msg)
        table = cls(path, tuple(lines[0]), tuple(map(tuple, lines[1:])))
        table.check(needed)
        if not text.endswith("\n"):
            msg = f"{path}, row {len(lines)}: the file breaks off here; take a fresh copy"
            raise ResultError(msg)
        return table

    def check(self, needed: Sequence[str]) -> None:
        """Refuse ragged rows, repeated columns, and the lack of a needed one."""
        header = self.header
        for number, line in enumerate(self.rows, start=self.first):
            if len(line) != len(header):
                msg = (
                    f"{self.path}, row {number}: {len(line)} cells, but the header has "
                    f"{len(header)}"
                )
                raise ResultError(msg)
        lacking = [name for name in needed if name not in header]
        twice = [name for name in header if header.count(name) > 1]
        if lacking or twice:
            what = f"no column {lacking[0]!r}" if lacking else f"column {twice[0]!r} twice"
            msg = f"{self.path}, row 1: {what}; needed once each: {', '.join(needed)}"
            raise ResultError(msg)

    def refuse(self, row: int, name: str, allowed: str) -> NoReturn:
        value = self.rows[row][self.header.index(name)]
        msg = f"{self.path}, row {row + self.first}, column {name!r}: {value!r}; {allowed}"
        raise ResultError(msg)

    def text(self, name: str) -> list[str]:
        at = self.header.index(name)
        return [row[at] for row in self.rows]

    def numbers(self, name: str, *, finite: bool = True) -> Array:
        """Column (N,); an empty cell is NaN, which only columns that need not be finite have."""
        values = self._parsed(name, lambda cell: float(cell or "nan"), "a number is needed")
        array = np.array(values, np.float64)
        if finite and not np.isfinite(array).all():
            self.refuse(int(np.argmin(np.isfinite(array))), name, "a finite number is needed")
        return array

    def flags(self, name: str) -> Mask:
        """Column (N,) of 0 and 1."""
        return np.array(
            self._parsed(name, lambda cell: _TRUTH[cell.lower()], "0 or 1 is needed"), bool
        )

    def outcome(self) -> tuple[NDArray[np.str_], Array, Mask]:
        case_id = np.array(self.text("case_id"))
        _, first = np.unique(case_id, return_index=True)
        again = np.setdiff1d(np.arange(len(case_id)), first)
        if len(again):
            self.refuse(int(again[0]), "case_id", "this patient has a row already")
        time = self.numbers("time")
        if (time <= 0).any():
            self.refuse(int(np.argmax(time <= 0)), "time", "months above 0 are needed")
        return case_id, time, self.flags("event")

    def _parsed(self, name: str, parse: Callable[[str], T], allowed: str) -> list[T]:
        values: list[T] = []
        for row, cell in enumerate(self.text(name)):
            try:
                values.append(parse(cell))
            except (ValueError, KeyError):
                self.refuse(row, name, allowed)
        return values
