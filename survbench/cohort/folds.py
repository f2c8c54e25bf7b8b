"""Folds: which patient is tested when. Made, read, hashed, matched to a cohort, and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from survbench.cohort.cohort import Cohort
from survbench.cohort.site_search import even_places
from survbench.cohort.text_table import read_text_table
from survbench.errors import CohortError, SplitError, UnknownNameError

FOLDS = 5
EVENT_RATE_TOLERANCE = 0.02
_ROUNDING = 1e-9  # 0.595 - 0.575 is 0.02, which floats miss
SITE_SUFFIX = ".site"  # of the names of folds that share no tissue source site


@dataclass(frozen=True, init=False, eq=False)
class Folds:
    """Fold of every patient.

    Parameters
    ----------
    name : str
        Name shown in tables.
    fold : Series of int, index case_id
        Or any mapping of case id to fold.
    """

    name: str
    fold: pd.Series[int]

    def __init__(self, name: str, fold: Mapping[str, int] | pd.Series[int]) -> None:
        series = pd.Series(fold, dtype=np.int64)
        series = series.set_axis(series.index.astype(str)).sort_index()
        series.index.name, series.name = "case_id", "fold"
        repeated = series.index[series.index.duplicated()]
        if len(repeated):
            msg = f"splits {name!r}: case {repeated[0]!r} stands twice; give each patient one fold"
            raise SplitError(msg)
        if series.empty or series.min() < 0:
            msg = f"splits {name!r}: folds must be 0, 1, ... of at least one case"
            raise SplitError(msg)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "fold", series)

    def __len__(self) -> int:
        return len(self.fold)

    @property
    def hash(self) -> str:
        """Sha256 (hex) over the sorted (case_id, fold) pairs; file format and name play no part."""
        lines = "".join(f"{case},{fold}\n" for case, fold in self.fold.items())
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The folds that exist, ascending."""
        return tuple(sorted(int(fold) for fold in self.fold.unique()))

    def align(self, cohort: Cohort) -> Aligned:
        """Fold of each of the cohort's patients, and how many split cases the cohort lacks.

        Raises
        ------
        SplitError
            When a patient of the cohort has no fold.
        """
        if not len(cohort):
            msg = f"cohort {cohort.name!r} has no patients; build it again"
            raise SplitError(msg)
        fold = self.fold.reindex(cohort.cases.index)
        without = fold.index[fold.isna()]
        first = str(without[0]) if len(without) else ""
        remedy = f"make some with 'survbench splits make --cohort {cohort.name}'"
        if len(without) == len(fold):
            msg = (
                f"splits {self.name!r} and cohort {cohort.name!r} have no case in common (such as "
                f"{self.fold.index[0]!r} and {first!r}); give this cohort's splits or {remedy}"
            )
            raise SplitError(msg)
        if len(without):
            msg = (
                f"splits {self.name!r} have no fold for {len(without)} of {len(fold)} cases of "
                f"cohort {cohort.name!r}, first {first!r}; give splits that have, or {remedy}"
            )
            raise SplitError(msg)
        return Aligned(np.asarray(fold, np.int64), len(self) - len(fold))


@dataclass(frozen=True, eq=False)
class Aligned:
    """Folds of a cohort's patients, (N,), in their order."""

    fold: NDArray[np.int64]
    left_out: int  # split cases that the cohort lacks


@dataclass(frozen=True)
class Finding:
    """One thing `check_folds` looked at; `required` ones decide over the exit code."""

    passed: bool
    required: bool
    text: str


def list_splits() -> list[str]:
    """Names of the folds that come with survbench."""
    files = resources.files("survbench.splits").iterdir()
    return sorted(f.name.removesuffix(".csv") for f in files if f.name.endswith(".csv"))


def read_splits(source: str | Path) -> Folds:
    """Folds from a name in `list_splits()`, a CSV (case_id, fold), or a folder of MCAT's files.

    Raises
    ------
    SplitError
        For files that do not give every patient one fold.
    UnknownNameError
        For a name that is neither.
    """
    path, known = Path(source), list_splits()
    if str(source) in known:
        with resources.as_file(resources.files("survbench.splits") / f"{source}.csv") as file:
            return _read_csv(file, str(source))
    if path.is_dir():
        return _read_mcat(path)
    if path.is_file():
        return _read_csv(path, path.stem)
    if path.suffix == ".csv" or len(path.parts) > 1:
        msg = f"splits file {str(source)!r} does not exist; give a name, a CSV file or a folder"
        raise SplitError(msg)
    see = "'survbench splits list'"
    raise UnknownNameError(kind="splits", name=str(source), known=known, see=see)


def _read_csv(path: Path, name: str) -> Folds:
    """Folds from a table with the columns case_id and fold."""
    table = _read_table(path, ("case_id", "fold"))
    wrong = table[(table["case_id"] == "") | ~table["fold"].str.fullmatch("[0-9]{1,9}")]
    if len(wrong):
        row = wrong.iloc[0]
        msg = (
            f"{path.name}, line {wrong.index[0] + 2}: case {row['case_id']!r} has fold "
            f"{row['fold']!r}; every line needs a case id and a fold 0, 1, ..."
        )
        raise SplitError(msg)
    return Folds(name, pd.Series(table["fold"].astype(int).to_numpy(), index=table["case_id"]))


def _read_table(path: Path, needed: tuple[str, str]) -> pd.DataFrame:
    """Table in which every cell is text and no needed column is missing."""
    try:
        table = read_text_table(path)
    except CohortError as error:
        raise SplitError(str(error)) from error
    if not set(needed) <= set(table.columns):
        found = ", ".join(map(str, table.columns[:8]))
        msg = f"{path.name}: needs the columns {' and '.join(needed)}, found {found}"
        raise SplitError(msg)
    return table


def _read_mcat(folder: Path) -> Folds:
    """Folds from splits_0.csv ...: the cases of the k-th file's `val` list are fold k."""
    files = [folder / f"splits_{k}.csv" for k in range(FOLDS)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        msg = f"splits folder {folder.name!r} lacks {', '.join(missing)}; it needs all {FOLDS}"
        raise SplitError(msg)
    lists = [_read_mcat_file(file) for file in files]
    fold: dict[str, int] = {}
    for k, (_, val) in enumerate(lists):
        for case in val:
            if case in fold:
                msg = (
                    f"{files[k].name}: case {case!r} is tested here and in splits_{fold[case]}.csv;"
                    " the val lists must not overlap"
                )
                raise SplitError(msg)
            fold[case] = k
    for k, (train, _) in enumerate(lists):
        never = [case for case in train if case not in fold]
        if never:
            msg = (
                f"{files[k].name}: {len(never)} training cases are in no val list, first "
                f"{never[0]!r}; the val lists must cover all cases"
            )
            raise SplitError(msg)
    return Folds(_folder_name(folder), fold)


def _folder_name(folder: Path) -> str:
    """Name of an MCAT folder: its own, or that of the cohort folder it lies in."""
    folder = folder.resolve()
    return f"{folder.parent.name}.mcat" if folder.name == "splits_mcat" else folder.name


def _read_mcat_file(path: Path) -> tuple[list[str], list[str]]:
    """Training and validation cases of one file."""
    table = _read_table(path, ("train", "val"))
    if "test" in table and (table["test"] != "").any():
        msg = f"{path.name}: has a test list; only folds whose val lists are the test sets are read"
        raise SplitError(msg)
    train, val = ([case for case in table[name] if case] for name in ("train", "val"))
    both = set(train) & set(val)
    if both:
        msg = f"{path.name}: case {min(both)!r} is in train and in val; give each patient one side"
        raise SplitError(msg)
    return train, val


def write_folds(folds: Folds, path: str | Path) -> None:
    """Write a CSV (case_id, fold), sorted by case id.

    Raises
    ------
    SplitError
        There is no such folder.
    """
    if not Path(path).parent.is_dir():
        msg = f"there is no folder {Path(path).parent}; make it first"
        raise SplitError(msg)
    folds.fold.to_csv(Path(path), lineterminator="\n")


def make_folds(
    cases: pd.DataFrame,
    folds: int = FOLDS,
    *,
    name: str = "folds",
    seed: int = 0,
    balance: ArrayLike | None = None,
) -> Folds:
    """Folds balanced by event, time quartile and, where given, `balance`.

    Patients are sorted by stratum, within it by a hash of seed and case id, and dealt out in turn:
    the folds' patients, and those with an event, differ by at most one. Nothing depends on the
    order of `cases`.

    Parameters
    ----------
    cases : DataFrame
        Index case_id, columns time and event.
    folds : int
        Number of folds.
    name : str
        Name of the result.
    seed : int
        Another seed makes other folds.
    balance : array (N,) or None
        One more property to spread evenly, such as who has every modality.
    """
    if not 2 <= folds <= len(cases):
        msg = f"cannot make {folds} folds of {len(cases)} cases; give 2 to {len(cases)}"
        raise SplitError(msg)
    event = cases["event"].to_numpy(bool)
    order = pd.DataFrame(
        {
            "censored": ~event,
            "balance": True if balance is None else np.asarray(balance),
            "quartile": _time_quartile(cases["time"].to_numpy(np.float64), event),
            "draw": [_draw(seed, case) for case in cases.index],
        },
        index=cases.index,
    ).sort_values(["censored", "balance", "quartile", "draw"])
    return Folds(name, pd.Series(np.arange(len(order)) % folds, index=order.index))


def _draw(seed: int, case_id: object) -> str:
    return hashlib.sha256(f"{seed}/{case_id}".encode()).hexdigest()


def _time_quartile(time: NDArray[np.float64], event: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Quartile 0..3 of each time among the patients with the same event status, (N,)."""
    quartile = np.zeros(len(time), np.int64)
    for status in (False, True):
        own = time[event == status]
        if len(own):
            edges = np.quantile(own, [0.25, 0.5, 0.75])
            quartile[event == status] = np.searchsorted(edges, own, side="left")
    return quartile


def make_site_folds(
    cases: pd.DataFrame,
    site: pd.Series[str] | None = None,
    folds: int = FOLDS,
    *,
    name: str = "sites",
) -> Folds:
    """Folds that share no tissue source site, as even in patients and events as was found.

    The largest deviation of any fold's share of the patients or of the events from an even share
    is minimised, then the sum of squares: sites are placed one by one where they hurt least, then
    moved or swapped while that helps, from several fixed orders. No randomness is left.

    Parameters
    ----------
    cases : DataFrame
        Index case_id, column event and, unless case ids tell or `site` is given, site.
    site : Series of str, index case_id, or None
        Site of each patient; None takes `sites(cases)`.
    folds : int
        Number of folds.
    name : str
        Name of the result.
    """
    site = sites(cases) if site is None else site.reindex(cases.index).astype(str)
    table = pd.DataFrame({"site": site, "event": cases["event"].astype(float), "n": 1.0})
    share = table.groupby("site")[["n", "event"]].sum()
    if len(share) < folds:
        msg = f"cannot make {folds} folds that share no site of {len(share)} sites; give fewer"
        raise SplitError(msg)
    place = even_places(share.to_numpy(), [str(name) for name in share.index], folds)
    return Folds(name, site.map(pd.Series(place, index=share.index)))


def sites(cases: pd.DataFrame) -> pd.Series[str]:
    """Tissue source site of each case: the XX of TCGA-XX-1234, else the column site."""
    code = cases.index.to_series().astype(str).str.extract(r"^TCGA-([A-Z0-9]{2})-", expand=False)
    if code.isna().any():
        if "site" not in cases:
            msg = f"site of case {code.index[code.isna()][0]!r} is unknown; add a column site"
            raise SplitError(msg)
        code = cases["site"]
    return code.astype(str)


def fold_table(folds: Folds, cases: pd.DataFrame) -> pd.DataFrame:
    """Patients, events and event rate of each fold among `cases`, index fold."""
    fold = folds.fold.reindex(cases.index)
    events = cases["event"].astype(int).groupby(fold).agg(["size", "sum", "mean"])
    events.index = events.index.astype(int)
    return events.set_axis(["patients", "events", "rate"], axis=1).rename_axis("fold")


def check_folds(folds: Folds, cases: pd.DataFrame, *, by_site: bool | None = None) -> list[Finding]:
    """What folds promise, held against a cohort's cases; a failed required finding is a fault.

    Parameters
    ----------
    folds : Folds
        The folds.
    cases : DataFrame
        Index case_id, columns time, event and, for site folds, site where case ids do not tell.
    by_site : bool or None
        Whether the folds must share no site (event rates are then only reported); None asks
        whether their name ends in ".site".
    """
    by_site = folds.name.endswith(SITE_SUFFIX) if by_site is None else by_site
    without = cases.index.difference(folds.fold.index)
    only_in_folds = len(folds.fold.index.difference(cases.index))
    first = f", first {str(without[0])!r}" if len(without) else ""
    findings = [
        Finding(not len(without), True, f"{len(without)} cases without a fold{first}"),
        Finding(only_in_folds == 0, False, f"{only_in_folds} split cases are not in the cohort"),
        Finding(
            folds.numbers == tuple(range(FOLDS)),
            True,
            f"folds are {', '.join(map(str, folds.numbers))}; expected 0 to {FOLDS - 1}",
        ),
        _check_rates(folds, cases, required=not by_site),
    ]
    if by_site:
        findings.append(_check_sites(folds, cases))
    return findings


def _check_rates(folds: Folds, cases: pd.DataFrame, *, required: bool) -> Finding:
    """Whether every fold's share of events is near the cohort's."""
    known = cases[cases.index.isin(folds.fold.index)]
    gap = (fold_table(folds, known)["rate"] - known["event"].mean()).abs()
    text = "no case has a fold"
    if len(gap):
        text = (
            f"largest gap between a fold's event rate and the cohort's is {gap.max():.3f} in fold "
            f"{gap.idxmax()}; {EVENT_RATE_TOLERANCE} is allowed"
        )
    return Finding(bool(len(gap) and gap.max() <= EVENT_RATE_TOLERANCE + _ROUNDING), required, text)


def _check_sites(folds: Folds, cases: pd.DataFrame) -> Finding:
    """Whether no tissue source site is in two folds."""
    site = sites(cases)
    spread = folds.fold.reindex(cases.index).groupby(site).nunique()
    split = sorted(spread.index[spread > 1])
    first = f", first {split[0]!r}" if split else ""
    return Finding(not split, True, f"{len(split)} of {len(spread)} sites in several folds{first}")
