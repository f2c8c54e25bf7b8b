"""The cohort folder: cohort.toml, cases.csv, one `<modality>.h5` each, dropped.csv.

Written by survbench/cohort/write_folder.py. Reading trusts cohort.toml plus the size and mtime of
every file; `check_cohort` hashes again.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.arrays import read_bags, read_genes
from survbench.cohort.cohort import COVARIATES, Cohort, CohortInfo
from survbench.cohort.content import hash_cohort
from survbench.cohort.modality import GeneGroups, Modality
from survbench.cohort.text_table import check_case_id, read_text_table
from survbench.errors import CohortError

SCHEMA = 1
INDEX = "cohort.toml"
DROPPED = ("case_id", "reason", "slide_id")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # of a cohort, and of a folder of results
MODALITY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # name of one
TEXTS = ("note", "provenance", "cohort_level_preprocessing")

_UNREADABLE = (OSError, LookupError, ValueError, TypeError, RuntimeError, MemoryError)
_HEAD: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "endpoint", "units", "default_splits", "data_hash"), str),
    **dict.fromkeys(("encoder_saw_tcga", *TEXTS), str),
    "horizon_months": (int, float),
    "standardise": list,
    "simulated": bool,
}
_CHUNK = 1 << 22  # bytes hashed at a time


def read_cohort(folder: str | Path, *, all_columns: bool = False) -> Cohort:
    """Read a cohort folder; patch features stay on disk as a memory map.

    Parameters
    ----------
    folder : str or Path
        Folder written by `build_cohort` or `write_cohort`.
    all_columns : bool
        Load gene columns that are in no group too.

    Raises
    ------
    CohortError
        If a file is missing, damaged or changed since it was written.
    """
    folder = Path(folder)
    index = read_index(folder)
    for name, recorded in index["files"].items():
        _check_file(folder, name, recorded)
    return read_parts(folder, index, all_columns=all_columns)


def read_index(folder: str | Path) -> dict[str, Any]:
    """Content of cohort.toml, checked for schema and completeness."""
    path = Path(folder) / INDEX
    if not path.is_file():
        msg = f"{folder} is no cohort folder: no {INDEX}; build one with 'survbench cohort build'"
        raise CohortError(msg)
    try:
        index = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        msg = f"{path}: not readable ({error}); build the cohort again"
        raise CohortError(msg) from error
    schema = index.get("schema")
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        msg = f"{path}: schema {schema!r}, this survbench reads 1 to {SCHEMA}; upgrade survbench"
        raise CohortError(msg)
    files, modalities = index.get("files"), index.get("modalities")
    if not isinstance(files, dict) or not isinstance(modalities, dict):
        msg = f"{path}: no [files] or [modalities]; build the cohort again"
        raise CohortError(msg)
    absent = {"cases.csv", "dropped.csv", *(f"{name}.h5" for name in modalities)} - files.keys()
    odd = [name for name in files if Path(name).name != name]
    odd += [name for name in modalities if not MODALITY.fullmatch(name)]
    if absent or odd:
        msg = f"{path}: {min(absent or odd)!r} is not listed as it must be; build the cohort again"
        raise CohortError(msg)
    _check_head(path, index)
    return index


def _check_head(path: Path, index: Mapping[str, Any]) -> None:
    """Refuse values that `write_parts` does not write."""
    for key in (key for key in _HEAD if key in index):
        value = index[key]
        sound = isinstance(value, _HEAD[key])
        if sound and key == "name":
            sound = NAME.fullmatch(value) is not None
        if sound and key == "horizon_months":
            sound = 0 < value < math.inf
        if sound and key == "standardise":
            sound = all(name in list(index["modalities"]) for name in value)
        if not sound:
            msg = f"{path}: {key} is {value!r}, which cannot be; build the cohort again"
            raise CohortError(msg)


def check_cohort(folder: str | Path) -> list[str]:
    """Hash and look through everything in a cohort folder; what is wrong, empty when sound."""
    folder = Path(folder)
    try:
        index = read_index(folder)
    except CohortError as error:
        return [str(error)]
    found = []
    for name, recorded in index["files"].items():
        try:
            _check_file(folder, name, recorded, rehash=True)
        except CohortError as error:
            found.append(str(error))
    strangers = {path.name for path in folder.iterdir()} - {INDEX, *index["files"]}
    found += [f"{folder / name} is not part of the cohort; remove it" for name in sorted(strangers)]
    try:
        cohort = read_parts(folder, index, all_columns=True)
    except CohortError as error:
        return [*found, str(error)]
    found += _look_through(cohort)
    actual = hash_cohort(cohort)
    if actual != index.get("data_hash"):
        found.append(
            f"{folder}: the data hash is {actual[:12]}..., {INDEX} says "
            f"{str(index.get('data_hash'))[:12]}...; build the cohort again"
        )
    return found


def sha256_of(path: Path) -> str:
    """Hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _check_file(
    folder: Path, name: str, recorded: Mapping[str, Any], *, rehash: bool = False
) -> None:
    """Trust a file of recorded size and mtime; otherwise hash it, and refuse a changed one."""
    path = folder / name
    try:
        status = path.stat()
        trusted = (status.st_size, status.st_mtime_ns) == (recorded["size"], recorded["mtime_ns"])
        if trusted and not rehash:
            return
        same = status.st_size == recorded["size"] and sha256_of(path) == recorded["sha256"]
    except FileNotFoundError as error:
        msg = f"{path} is missing; build the cohort again"
        raise CohortError(msg) from error
    except (OSError, KeyError, TypeError) as error:
        msg = f"{path} cannot be checked ({error}); build the cohort again"
        raise CohortError(msg) from error
    if not same:
        msg = f"{path} changed since the cohort was built; restore it or build the cohort again"
        raise CohortError(msg)
    if not trusted:
        # A copied folder has new times: give the old one back, so that it is hashed only once.
        with suppress(OSError, TypeError, OverflowError):
            os.utime(path, ns=(status.st_atime_ns, recorded["mtime_ns"]))


def read_parts(folder: Path, index: Mapping[str, Any], *, all_columns: bool) -> Cohort:
    """Cohort of the files that an index lists, which are taken as they are."""
    cases = _read_cases(folder / "cases.csv")
    modalities: dict[str, Modality] = {}
    for name, section in index["modalities"].items():
        path = folder / f"{name}.h5"
        try:
            with h5py.File(path, "r") as file:
                modalities[name] = (
                    read_bags(path, file)
                    if section["kind"] == "bags"
                    else read_genes(path, file, all_columns=all_columns)
                )
        except CohortError as error:
            msg = f"{path}: {error}"
            raise CohortError(msg) from error
        except _UNREADABLE as error:
            msg = f"{path}: cannot be read ({error}); build the cohort again"
            raise CohortError(msg) from error
        if len(modalities[name]) != len(cases):
            found = f"{len(modalities[name])} patients, but {len(cases)} in cases.csv"
            msg = f"{path}: {found}; build the cohort again"
            raise CohortError(msg)
    return Cohort(str(index.get("name", folder.name)), cases, modalities, _read_info(folder, index))


def _read_info(folder: Path, index: Mapping[str, Any]) -> CohortInfo:
    dropped = _read_columns(folder / "dropped.csv", DROPPED)
    whole = dropped[dropped["slide_id"] == ""]
    return CohortInfo(
        endpoint=index.get("endpoint", "overall survival"),
        units=index.get("units", "months"),
        horizon_months=index.get("horizon_months"),
        standardise=tuple(index.get("standardise", ())),
        default_splits=index.get("default_splits"),
        data_hash=index.get("data_hash", ""),
        simulated=index.get("simulated", False),
        encoder_saw_tcga=index.get("encoder_saw_tcga", "unknown"),
        dropped=dict(zip(whole["case_id"], whole["reason"], strict=True)),
        **{text: index.get(text, "") for text in TEXTS},
    )


def _read_cases(path: Path) -> pd.DataFrame:
    table = _read_columns(path, ("case_id", "time", "event"))
    for row, case_id in enumerate(table["case_id"]):
        check_case_id(case_id, f"{path}, line {row + 2}")
    cases = pd.DataFrame(index=pd.Index(table["case_id"], name="case_id", dtype=object))
    cases["time"] = _floats(path, table["time"])
    wrong = np.flatnonzero(~(np.isfinite(cases["time"]) & (cases["time"] > 0)))
    if len(wrong):
        msg = f"{path}: time of case {cases.index[wrong[0]]!r} must be > 0; build the cohort again"
        raise CohortError(msg)
    odd = np.flatnonzero(~table["event"].isin(("0", "1")))
    if len(odd):
        msg = f"{path}: event of case {cases.index[odd[0]]!r} must be 0 or 1"
        raise CohortError(msg)
    cases["event"] = (table["event"] == "1").to_numpy(bool)
    for name in COVARIATES:
        if name in table:
            cases[name] = (
                _floats(path, table[name]) if name == "age" else table[name].to_numpy(object)
            )
    return cases


def _read_columns(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """Table in which every cell is text and no needed column is missing."""
    table = read_text_table(path)
    for column in needed:
        if column not in table:
            msg = f"{path}: no column {column!r}; needed are {', '.join(needed)}"
            raise CohortError(msg)
    return table


def _floats(path: Path, column: pd.Series[str]) -> NDArray[np.float64]:
    try:
        values = np.array([float(value) if value else np.nan for value in column], np.float64)
    except ValueError as error:
        msg = f"{path}: column {column.name!r}: {error}; numbers are needed"
        raise CohortError(msg) from error
    if np.isinf(values).any():
        line = int(np.argmax(np.isinf(values))) + 2
        msg = f"{path}: column {column.name!r} is infinite in line {line}; give finite numbers"
        raise CohortError(msg)
    return values


def _look_through(cohort: Cohort) -> list[str]:
    """Values that no cohort may hold."""
    found = []
    for name, modality in cohort.modalities.items():
        if isinstance(modality, GeneGroups):
            if not np.isfinite(modality.values).all():
                found.append(f"{name}: a gene value is not finite; build the cohort again")
            continue
        found += [
            f"{name}: a feature of {cohort.case_id[row]!r} is not finite; build the cohort again"
            for row in np.flatnonzero(modality.present)
            if not np.isfinite(modality.bag(int(row))).all()
        ]
    if not cohort.event.any():
        found.append("no event is seen; survival cannot be scored")
    return found
