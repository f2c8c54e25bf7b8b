"""Survival tables with genomics (the MCAT and PORPOISE layouts) and lists of gene groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.text_table import check_case_id, read_text_table
from survbench.errors import CohortError

SUFFIXES = {"_rnaseq": "rna", "_cnv": "cnv", "_mut": "mut"}
COVARIATE_COLUMNS = {"age": "age", "is_female": "sex", "oncotree_code": "histology", "site": "site"}

MAX_MONTHS = 1500  # nobody is followed for 125 years

_TCGA_SITE = re.compile(r"TCGA-([A-Z0-9]{2})-")
# Outcomes under other names must never become gene columns; `train` is an old split.
_NOT_A_GENE = re.compile(
    r"Unnamed: \d+(\.\d+)?|train|(survival|censorship|event|os|dss|pfi|dfi|pfs|dfs|rfs)([._].*)?"
    r"|days_to_.*|vital_.*",
    re.IGNORECASE,
)
_BLANK = frozenset({"", "na", "n/a", "nan", "null", "none", "<na>"})
_YES_NO = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_HEADER_LINES = 2  # line of the first record, counted from 1


@dataclass(frozen=True, eq=False)
class Table:
    """One row per patient, read from a table with one row per slide.

    Parameters
    ----------
    cases : DataFrame (N, ...)
        Indexed by case_id, sorted: time, event and the covariates the table has.
    values : array (N, C)
        Gene measurements, float32; rows of `cases` not in `present` hold NaN.
    present : array (N,)
        Who has gene measurements.
    columns, kind : tuple of str, array (C,)
        Names as in the table, and rna, cnv, mut or other.
    slides : mapping
        Slide id without ".svs" to case id, dropped cases included.
    rows : int
        Rows of the table.
    dropped : mapping
        Case id to the reason why it is not in `cases`.
    ignored : tuple of str
        Columns that are neither genes nor needed.
    notes : tuple of str
        What was repaired on the way.
    """

    cases: pd.DataFrame
    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    columns: tuple[str, ...]
    kind: NDArray[np.str_]
    slides: Mapping[str, str]
    rows: int
    dropped: Mapping[str, str]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Raw:
    """A table as read: the frame, where it came from, and how to name one of its cells."""

    path: Path
    frame: pd.DataFrame

    def place(self, row: int) -> str:
        return f"line {row + _HEADER_LINES}, case {self.frame['case_id'].iloc[row]!r}"


def read_signatures(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Gene symbols of each group, in file order: one column per group, blanks below short ones."""
    path = Path(path)
    frame = read_text_table(path)
    groups: dict[str, tuple[str, ...]] = {}
    for column in frame.columns:
        name = str(column).strip()
        if name in groups:
            msg = f"{path}: group {name!r} stands twice; keep one"
            raise CohortError(msg)
        if not name.startswith("Unnamed: "):
            groups[name] = tuple(dict.fromkeys(s.strip() for s in frame[column] if s.strip()))
    if not any(groups.values()):
        msg = f"{path}: no gene symbols; one column per group, its name in the first line"
        raise CohortError(msg)
    return groups


def group_columns(
    columns: Sequence[str], signatures: Mapping[str, Sequence[str]]
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Column indices of each gene group, names sorted within a group, and the groups left empty.

    A group holds every symbol of its signature in every kind the table has, so a gene of two
    signatures is in two groups.

    Raises
    ------
    CohortError
        If no group has a column.
    """
    by_symbol: dict[str, list[int]] = {}
    for index, column in enumerate(columns):
        by_symbol.setdefault(_symbol(column), []).append(index)
    groups: dict[str, NDArray[np.int64]] = {}
    for name, symbols in signatures.items():
        found = {index for symbol in symbols for index in by_symbol.get(symbol, ())}
        groups[name] = np.array(sorted(found, key=columns.__getitem__), np.int64)
    empty = tuple(name for name, index in groups.items() if len(index) == 0)
    if len(empty) == len(groups):
        shown = ", ".join(list(columns)[:3])
        msg = (
            f"no gene column ({shown}, ...) is in any of the groups {', '.join(groups)}; "
            "columns are named SYMBOL_rnaseq, SYMBOL_cnv, SYMBOL_mut or SYMBOL"
        )
        raise CohortError(msg)
    return {name: index for name, index in groups.items() if len(index)}, empty


def read_table(
    path: str | Path,
    *,
    time_column: str = "survival_months",
    censor_column: str = "censorship",
    ignore: Iterable[str] = (),
) -> Table:
    """Read survival, covariates and genes of each patient; columns are found by name.

    Parameters
    ----------
    path : str or Path
        An `*_all_clean.csv`, plain, .gz or .zip; one row per slide or per patient.
    time_column, censor_column : str
        Months to death or last contact, and 1 = censored, 0 = died.
    ignore : iterable of str
        Further columns that are no genes.

    Raises
    ------
    CohortError
        If a column is missing, a value is not what it must be, or rows of a patient disagree.
    """
    path = Path(path)
    text = ("case_id", "slide_id", "is_female", "oncotree_code", "site")
    raw = _Raw(path, read_text_table(path, text=text))
    needed = ("case_id", time_column, censor_column)
    if len(set(needed)) < len(needed):
        msg = f"{path}: column {censor_column!r} cannot be time and censoring; name two columns"
        raise CohortError(msg)
    _check_header(raw, needed)
    for row, case_id in enumerate(raw.frame["case_id"]):
        check_case_id(case_id, f"{path}, line {row + _HEADER_LINES}")
    metadata = {*needed, *COVARIATE_COLUMNS, "slide_id"}
    candidates = [str(c) for c in raw.frame.columns if c not in metadata]
    unused = set(ignore)
    ignored = [c for c in candidates if c in unused or _is_no_gene(c)]
    columns = [c for c in candidates if c not in set(ignored)]
    outcome = _outcome(raw, time_column, censor_column)
    values = _gene_matrix(raw, columns)
    first = _first_rows(raw)
    _check_agreement(raw, first, outcome, values, columns)
    return _assemble(raw, outcome, values, tuple(columns), tuple(ignored), time_column)


def _assemble(
    raw: _Raw,
    outcome: pd.DataFrame,
    values: NDArray[np.float32],
    columns: tuple[str, ...],
    ignored: tuple[str, ...],
    time_column: str,
) -> Table:
    """Keep one row per patient with a usable outcome, sorted by case id."""
    case_id = raw.frame["case_id"].to_numpy(str)
    rows = np.unique(case_id, return_index=True)[1]  # first row of each case, ids sorted
    reasons = _reasons(outcome, time_column)
    kept = np.array([row for row in rows if row not in reasons], np.int64)
    if len(kept) == 0:
        msg = f"{raw.path}: no usable case among {len(rows)}; {reasons[int(rows[0])]}, ..."
        raise CohortError(msg)
    cases = pd.DataFrame(
        {
            "time": outcome["time"].to_numpy()[kept],
            "event": outcome["censored"].to_numpy()[kept] < 1,
        },
        index=pd.Index(case_id[kept].astype(object), name="case_id"),
    )
    for column, covariate in COVARIATE_COLUMNS.items():
        if column in raw.frame:
            cases[covariate] = _covariate(raw, column)[kept]
    cases, notes = _restore_sites(cases)
    genes = values[kept]
    slides = raw.frame["slide_id"] if "slide_id" in raw.frame else pd.Series([], dtype=str)
    return Table(
        cases=cases,
        values=genes,
        present=np.asarray(~np.isnan(genes).any(axis=1) & (len(columns) > 0), bool),
        columns=columns,
        kind=_kinds(columns, genes),
        slides={s.removesuffix(".svs"): str(c) for s, c in zip(slides, case_id, strict=False) if s},
        rows=len(raw.frame),
        dropped={str(case_id[row]): reasons[row] for row in rows if row in reasons},
        ignored=ignored,
        notes=notes,
    )


def _check_header(raw: _Raw, needed: Sequence[str]) -> None:
    for column in needed:
        if column not in raw.frame:
            shown = ", ".join(map(str, raw.frame.columns[:8]))
            msg = (
                f"{raw.path}: no column {column!r}; needed are {', '.join(needed)}, "
                f"found {shown}{', ...' if len(raw.frame.columns) > 8 else ''}"
            )
            raise CohortError(msg)
    if raw.frame.empty:
        msg = f"{raw.path}: the table has a header but no rows"
        raise CohortError(msg)


def _is_no_gene(column: str) -> bool:
    return not column.endswith(tuple(SUFFIXES)) and bool(_NOT_A_GENE.fullmatch(column))


def _outcome(raw: _Raw, time_column: str, censor_column: str) -> pd.DataFrame:
    """Columns time and censored (rows,), NaN where blank."""
    time = _numbers(raw, time_column)
    censored = _numbers(raw, censor_column)
    endless = np.flatnonzero(time > MAX_MONTHS)
    if len(endless):
        shown = "infinite" if np.isinf(time[endless[0]]) else f"{time[endless[0]]:g}"
        msg = (
            f"{raw.path}: {time_column} is {shown} at {raw.place(endless[0])}; give months, "
            f"{MAX_MONTHS} at most (divide days by 30.44)"
        )
        raise CohortError(msg)
    wrong = np.flatnonzero(~np.isnan(censored) & (censored != 0) & (censored != 1))
    if len(wrong):
        msg = (
            f"{raw.path}: {censor_column} is {censored[wrong[0]]:g} at {raw.place(wrong[0])}; "
            "allowed are 1 (censored) and 0 (died)"
        )
        raise CohortError(msg)
    return pd.DataFrame({"time": time, "censored": censored})


def _reasons(outcome: pd.DataFrame, time_column: str) -> dict[int, str]:
    """Row to the reason why its outcome cannot be used."""
    reasons: dict[int, str] = {}
    for row, (time, censored) in enumerate(outcome.itertuples(index=False)):
        if np.isnan(time):
            reasons[row] = f"{time_column} is blank"
        elif np.isnan(censored):
            reasons[row] = "censorship is blank"
        elif time <= 0:
            reasons[row] = f"{time_column} is {time:g}, must be > 0"
    return reasons


def _numbers(raw: _Raw, column: str) -> NDArray[np.float64]:
    """Column as float64 (rows,), blanks as NaN; text that is no number is an error."""
    values = raw.frame[column]
    if values.dtype != object:
        return values.to_numpy(np.float64)
    text = values.astype(str).str.strip()
    blank = text.str.lower().isin(_BLANK).to_numpy(bool)
    numbers = np.array([np.nan if b else _float(t) for t, b in zip(text, blank, strict=True)])
    wrong = np.flatnonzero(np.isnan(numbers) & ~blank)
    if len(wrong):
        msg = (
            f"{raw.path}: column {column!r} holds {values.iloc[wrong[0]]!r} at "
            f"{raw.place(wrong[0])}; a number is needed (a column that is no measurement can be "
            "named in `ignore`)"
        )
        raise CohortError(msg)
    return numbers


def _float(text: str) -> float:
    """Number that a text spells, NaN when it spells none."""
    try:
        return float("nan" if "_" in text else text)  # 1_000 is a number in Python alone
    except ValueError:
        return float("nan")


def _gene_matrix(raw: _Raw, columns: Sequence[str]) -> NDArray[np.float32]:
    """Gene values (rows, C); a patient has all of them or, as NaN, none."""
    frame = raw.frame[list(columns)]
    text = np.array([dtype.kind == "O" for dtype in frame.dtypes], bool)
    wide = np.empty(frame.shape, np.float64)
    wide[:, ~text] = frame.loc[:, ~text].to_numpy(np.float64)
    for index in np.flatnonzero(text).tolist():
        wide[:, index] = _numbers(raw, columns[index])
    with np.errstate(over="ignore"):
        values = wide.astype(np.float32)
    blank = np.isnan(values)
    partly = blank & ~blank.all(axis=1, keepdims=True)
    for bad, what in ((partly, "blank"), (np.isinf(values), "infinite")):
        if bad.any():
            row, index = (int(i) for i in np.argwhere(bad)[0])
            msg = (
                f"{raw.path}: column {columns[index]!r} is {what} at {raw.place(row)}; fill it in "
                "or leave the column out (only a patient without any gene value counts as absent)"
            )
            raise CohortError(msg)
    return values


def _first_rows(raw: _Raw) -> NDArray[np.int64]:
    """For each row, the first row of the same case."""
    _, first, inverse = np.unique(
        raw.frame["case_id"].to_numpy(str), return_index=True, return_inverse=True
    )
    return first[inverse]


def _check_agreement(
    raw: _Raw,
    first: NDArray[np.int64],
    outcome: pd.DataFrame,
    values: NDArray[np.float32],
    columns: Sequence[str],
) -> None:
    """Rows of one patient must agree in survival and genomics."""
    later = np.flatnonzero(first != np.arange(len(first)))
    survival = outcome.to_numpy()
    for data, names in ((survival, ("survival time", "censorship")), (values, tuple(columns))):
        here, there = data[later], data[first[later]]
        differ = (here != there) & ~(np.isnan(here) & np.isnan(there))
        if differ.any():
            pair, index = (int(i) for i in np.argwhere(differ)[0])
            row, other = int(later[pair]), int(first[later[pair]])
            msg = (
                f"{raw.path}: case {raw.frame['case_id'].iloc[row]!r} has {names[index]} "
                f"{there[pair, index]:g} in line {other + _HEADER_LINES} but {here[pair, index]:g} "
                f"in line {row + _HEADER_LINES}; rows of one patient must agree"
            )
            raise CohortError(msg)


def _covariate(raw: _Raw, column: str) -> NDArray[np.object_] | NDArray[np.float64]:
    """Age as numbers (blank NaN), everything else as text (blank '')."""
    if column == "age":
        age = _numbers(raw, column)
        endless = np.flatnonzero(np.isinf(age))
        if len(endless):
            msg = f"{raw.path}: age is infinite at {raw.place(endless[0])}; leave it blank"
            raise CohortError(msg)
        return age
    text = raw.frame[column].str.strip()
    if column != "is_female":
        return text.to_numpy(object)
    sex = []
    for row, value in enumerate(text.str.lower()):
        if value in _BLANK:
            sex.append("")
        elif value in _YES_NO:
            sex.append("female" if _YES_NO[value] else "male")
        else:
            msg = f"{raw.path}: is_female is {value!r} at {raw.place(row)}; allowed are 1 and 0"
            raise CohortError(msg)
    return np.array(sex, object)


def _restore_sites(cases: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give TCGA site codes back the leading zero a spreadsheet took ('2' of TCGA-02-...)."""
    if "site" not in cases:
        return cases, ()
    restored: dict[str, str] = {}
    sites = []
    for case_id, site in zip(cases.index, cases["site"], strict=True):
        spelled = _TCGA_SITE.match(str(case_id))
        if spelled and site != spelled[1] and site == spelled[1].lstrip("0"):
            restored[site] = spelled[1]
            sites.append(spelled[1])
        else:
            sites.append(site)
    pairs = ", ".join(f"{old!r} to {new!r}" for old, new in sorted(restored.items()))
    notes = (f"site codes that had lost their leading zero restored: {pairs}",) if pairs else ()
    return cases.assign(site=np.array(sites, object)), notes


def _symbol(column: str) -> str:
    for suffix in SUFFIXES:
        if column.endswith(suffix):
            return column.removesuffix(suffix)
    return column


def _kinds(columns: Sequence[str], values: NDArray[np.float32]) -> NDArray[np.str_]:
    """Kind by suffix; a bare symbol is a mutation when it is 0/1 throughout, else other."""
    binary = (np.isnan(values) | (values == 0) | (values == 1)).all(axis=0)
    kinds = []
    for column, is_binary in zip(columns, binary, strict=True):
        ends = [kind for suffix, kind in SUFFIXES.items() if column.endswith(suffix)]
        kinds.append(ends[0] if ends else "mut" if is_binary else "other")
    return np.array(kinds, dtype=np.str_)
