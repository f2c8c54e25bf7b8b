"""The cohort folder: cohort.toml, cases.csv, one `<modality>.h5` each, dropped.csv.

A folder is written under a temporary name beside its place and renamed when whole. Reading trusts
cohort.toml plus the size and mtime of every file; `check_cohort` hashes again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.arrays import read_bags, read_genes
from survbench.cohort.cohort import COVARIATES, Cohort, CohortInfo
from survbench.cohort.content import hash_cohort
from survbench.cohort.modality import Bags, GeneGroups, Modality
from survbench.cohort.tables import SUFFIXES
from survbench.cohort.text_table import check_case_id, read_text_table
from survbench.errors import CohortError

SCHEMA = 1
INDEX = "cohort.toml"
DROPPED = ("case_id", "reason", "slide_id")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # of a cohort, and of a folder of results
_MODALITY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_UNREADABLE = (OSError, LookupError, ValueError, TypeError, RuntimeError, MemoryError)
_SEEN_TCGA = ("yes", "no", "unknown")
_TEXTS = ("note", "provenance", "cohort_level_preprocessing")
_HEAD: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "endpoint", "units", "default_splits", "data_hash"), str),
    **dict.fromkeys(("encoder_saw_tcga", *_TEXTS), str),
    "horizon_months": (int, float),
    "standardise": list,
    "simulated": bool,
}
_CHUNK = 1 << 22  # bytes hashed at a time


@dataclass(frozen=True, eq=False)
class BagStream:
    """Bags on their way to disk: sizes known, patches delivered patient by patient.

    Parameters
    ----------
    length : array (N,)
        Patches of each patient.
    width : int
        Feature columns D.
    dtype : dtype
        float16 or float32.
    coords : bool
        Whether every part brings coordinates.
    parts : iterable of (features (n, D), coords (n, 2) or None)
        In the order of the patients; a patient may come in several parts.
    encoder : str
        What made the features.
    """

    length: NDArray[np.int64]
    width: int
    dtype: np.dtype[Any]
    coords: bool
    parts: Iterable[tuple[NDArray[np.floating], NDArray[np.integer] | None]]
    encoder: str = ""


def write_cohort(
    cohort: Cohort,
    folder: str | Path,
    *,
    dropped: Sequence[tuple[str, str, str]] = (),
    force: bool = False,
) -> str:
    """Write a cohort held in memory to a folder and return its data hash.

    Parameters
    ----------
    cohort : Cohort
        Raw values; a cohort with fitted transforms is refused. Simulated truth is not written.
    folder : str or Path
        New folder.
    dropped : sequence of (case_id, reason, slide_id)
        Who is not in it; those of `cohort.info` when empty.
    force : bool
        Replace a cohort that is already there.

    Raises
    ------
    CohortError
        If the folder exists, or the disk does not take it.
    """
    modalities: dict[str, BagStream | GeneGroups] = {}
    for name, modality in cohort.modalities.items():
        if isinstance(modality, Bags) and (
            modality.shift is not None or modality.filler is not None
        ):
            msg = f"{cohort.name}: {name!r} is standardised or filled; write the raw cohort"
            raise CohortError(msg)
        modalities[name] = _stream_of(modality) if isinstance(modality, Bags) else modality
    left_out = dropped or [(case, reason, "") for case, reason in cohort.info.dropped.items()]
    return write_parts(
        folder, cohort.name, cohort.cases, modalities, cohort.info, dropped=left_out, force=force
    )


def write_parts(
    folder: str | Path,
    name: str,
    cases: pd.DataFrame,
    modalities: Mapping[str, BagStream | GeneGroups],
    info: CohortInfo,
    *,
    dropped: Sequence[tuple[str, str, str]] = (),
    force: bool = False,
) -> str:
    """Write a cohort whose bags are streamed, so that it may exceed memory; see `write_cohort`."""
    folder = Path(folder)
    _check_writable(name, info, cases, modalities)
    with _staged(folder, force=force) as staging:
        _check_space(staging, folder, modalities)
        _write_cases(staging / "cases.csv", cases)
        pd.DataFrame(list(dropped), columns=list(DROPPED)).to_csv(
            staging / "dropped.csv", index=False, lineterminator="\n"
        )
        sections = {}
        for modality, content in modalities.items():
            path = staging / f"{modality}.h5"
            sections[modality] = (
                _write_bags(path, content)
                if isinstance(content, BagStream)
                else _write_genes(path, content)
            )
        head = _head(name, info)
        index: dict[str, Any] = {**head, "modalities": sections, "files": _fingerprints(staging)}
        (staging / INDEX).write_text(_toml(index), encoding="utf-8")
        data_hash = hash_cohort(_read(staging, index, all_columns=True))
        index = {**head, "data_hash": data_hash, "modalities": sections, "files": index["files"]}
        (staging / INDEX).write_text(_toml(index), encoding="utf-8")
    return data_hash


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
    return _read(folder, index, all_columns=all_columns)


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
    odd += [name for name in modalities if not _MODALITY.fullmatch(name)]
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
        cohort = _read(folder, index, all_columns=True)
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


def describe(cohort: Cohort) -> dict[str, Any]:
    """What `survbench cohort show` prints: counts, and what each modality holds."""
    time = cohort.time
    return {
        "name": cohort.name,
        "endpoint": cohort.info.endpoint,
        "units": cohort.info.units,
        "cases": len(cohort),
        "events": int(cohort.event.sum()),
        "median_time": float(np.median(time)) if len(time) else float("nan"),
        "max_time": float(time.max()) if len(time) else float("nan"),
        "paired": int(cohort.paired.sum()),
        "paired_events": int(cohort.event[cohort.paired].sum()),
        "covariates": [name for name in COVARIATES if name in cohort.cases],
        "modalities": {n: _describe(m, cohort) for n, m in cohort.modalities.items()},
        "standardise": list(cohort.info.standardise),
        "horizon_months": cohort.info.horizon_months,
        "default_splits": cohort.info.default_splits,
        "encoder_saw_tcga": cohort.info.encoder_saw_tcga,
        "cohort_level_preprocessing": cohort.info.cohort_level_preprocessing,
        "provenance": cohort.info.provenance,
        "note": cohort.info.note,
        "dropped": len(cohort.info.dropped),
        "data_hash": cohort.info.data_hash,
    }


def _describe(modality: Modality, cohort: Cohort) -> dict[str, Any]:
    present = modality.present
    summary: dict[str, Any] = {
        "kind": "bags" if isinstance(modality, Bags) else "genes",
        "cases": int(present.sum()),
        "events": int(cohort.event[present].sum()),
        "width": modality.width,
    }
    if isinstance(modality, Bags):
        length = modality.length[present]
        summary["dtype"] = str(modality.features.dtype)
        summary["patches"] = int(length.sum())
        if len(length):
            summary["patches_min"] = int(length.min())
            summary["patches_median"] = float(np.median(length))
            summary["patches_max"] = int(length.max())
        return summary
    summary["groups"] = {
        name: kind_counts(modality.kind[index]) for name, index in modality.groups.items()
    }
    return summary


def kind_counts(kind: NDArray[np.str_]) -> dict[str, int]:
    """Number of columns of each kind, kinds in a fixed order, none left out but empty ones."""
    names = (*SUFFIXES.values(), "other")
    return {name: int((kind == name).sum()) for name in names if (kind == name).any()}


def _stream_of(bags: Bags) -> BagStream:
    """Raw bags of a cohort, patient by patient."""

    def parts() -> Iterator[tuple[NDArray[np.floating], NDArray[np.integer] | None]]:
        for start, length in zip(bags.start.tolist(), bags.length.tolist(), strict=True):
            rows = slice(start, start + length)
            if length:
                yield bags.features[rows], None if bags.coords is None else bags.coords[rows]

    return BagStream(
        length=np.asarray(bags.length, np.int64),
        width=bags.width,
        dtype=bags.features.dtype,
        coords=bags.coords is not None,
        parts=parts(),
    )


def _check_writable(
    name: str,
    info: CohortInfo,
    cases: pd.DataFrame,
    modalities: Mapping[str, BagStream | GeneGroups],
) -> None:
    for case_id in cases.index:
        check_case_id(str(case_id), "cases")
    if not NAME.fullmatch(name):
        msg = (
            f"cohort name {name!r} is not allowed; use letters, digits, '.', '_' and '-', a letter "
            "or digit first"
        )
        raise CohortError(msg)
    if info.horizon_months is not None and not 0 < info.horizon_months < math.inf:
        msg = f"horizon_months is {info.horizon_months}; it must be above 0 and finite"
        raise CohortError(msg)
    for modality in modalities:
        if not _MODALITY.fullmatch(modality):
            msg = (
                f"modality name {modality!r} is not allowed; use a letter, then letters and digits"
            )
            raise CohortError(msg)
    unknown = set(info.standardise) - {n for n, m in modalities.items() if isinstance(m, BagStream)}
    if unknown:
        msg = f"standardise names {min(unknown)!r}, which is no bag modality of this cohort"
        raise CohortError(msg)
    if info.encoder_saw_tcga not in _SEEN_TCGA:
        msg = f"encoder_saw_tcga is {info.encoder_saw_tcga!r}; allowed are {', '.join(_SEEN_TCGA)}"
        raise CohortError(msg)


@contextmanager
def _staged(folder: Path, *, force: bool) -> Iterator[Path]:
    """Temporary sibling that takes the folder's place when the block ends well."""
    _check_place(folder, force=force)
    staging: Path | None = None
    made = [above for above in folder.parents if not above.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = _sibling(folder)
        yield staging
        _swap(staging, folder)
    except (OSError, RuntimeError) as error:
        msg = f"could not write {folder} ({' '.join(str(error).split())}); nothing was left there"
        raise CohortError(msg) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        with suppress(OSError):  # they hold the cohort now
            for above in made:
                above.rmdir()


def _sibling(folder: Path) -> Path:
    """New hidden folder beside `folder`, so that a rename stays on one file system."""
    path = folder.parent / f".{folder.name}.{secrets.token_hex(6)}.tmp"
    path.mkdir()
    return path


def _check_place(folder: Path, *, force: bool) -> None:
    """Refuse to overwrite, and never touch a folder that is not a cohort."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / INDEX).is_file():
        msg = f"{folder} exists and is no cohort; choose another place"
        raise CohortError(msg)
    if not force:
        msg = f"{folder} already holds a cohort; choose another place or overwrite it with force"
        raise CohortError(msg)


def _swap(staging: Path, folder: Path) -> None:
    """Rename `staging` to `folder`; what was there is moved aside first and then removed."""
    if not (folder / INDEX).is_file():
        staging.rename(folder)
        return
    aside = _sibling(folder)
    old = folder.rename(aside / "old")
    try:
        staging.rename(folder)
    except BaseException:
        if not folder.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_space(
    staging: Path, folder: Path, modalities: Mapping[str, BagStream | GeneGroups]
) -> None:
    """Stop before hours of copying when the disk cannot hold the result."""
    needed = 0
    for content in modalities.values():
        if isinstance(content, BagStream):
            row = content.width * content.dtype.itemsize + (16 if content.coords else 0)
            needed += int(content.length.sum()) * row
        else:
            needed += content.values.nbytes
    free = shutil.disk_usage(staging).free
    if needed > free:
        msg = f"{folder} needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free there"
        raise CohortError(msg)


def _write_cases(path: Path, cases: pd.DataFrame) -> None:
    table = pd.DataFrame({"case_id": cases.index.to_numpy(str)})
    table["time"] = cases["time"].to_numpy(np.float64)
    table["event"] = cases["event"].to_numpy(bool).astype(int)
    for name in COVARIATES:
        if name in cases:
            values = cases[name]
            table[name] = (
                values.to_numpy(np.float64) if name == "age" else values.fillna("").to_numpy(str)
            )
    table.to_csv(path, index=False, lineterminator="\n")


def _write_bags(path: Path, bags: BagStream) -> dict[str, Any]:
    """Write contiguous features (T, D), start, length and coords (T, 2)."""
    total = int(bags.length.sum())
    start = np.where(bags.length > 0, np.cumsum(bags.length) - bags.length, 0)
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", (total, bags.width), bags.dtype)
        file["start"], file["length"] = start.astype(np.int64), bags.length.astype(np.int64)
        coords = file.create_dataset("coords", (total, 2), np.int64) if bags.coords else None
        end = 0
        for patches, places in bags.parts:
            begin, end = end, end + len(patches)
            if end > total:
                break
            features[begin:end] = patches
            if coords is not None and places is not None:
                coords[begin:end] = places
    if end != total:
        msg = f"{path.stem}: patch counts changed while the features were read; start again"
        raise CohortError(msg)
    return {
        "kind": "bags",
        "width": bags.width,
        "dtype": str(bags.dtype),
        "cases": int((bags.length > 0).sum()),
        "patches": total,
        "coords": bags.coords,
        "encoder": bags.encoder,
    }


def _write_genes(path: Path, genes: GeneGroups) -> dict[str, Any]:
    """Write values (R, C) of the patients who have them, columns, kinds, groups and row (N,)."""
    present = genes.present
    sizes = [len(index) for index in genes.groups.values()]
    members = np.concatenate([np.empty(0, np.int64), *genes.groups.values()])
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file["values"] = np.asarray(genes.matrix(), np.float32)
        file["row"] = np.where(present, np.cumsum(present) - 1, -1).astype(np.int64)
        file.create_dataset("columns", data=np.array(genes.columns, object), dtype=text)
        file.create_dataset("kind", data=genes.kind.astype(object), dtype=text)
        file.create_dataset("group_names", data=np.array(list(genes.groups), object), dtype=text)
        file["group_sizes"] = np.array(sizes, np.int64)
        file["group_columns"] = members.astype(np.int64)
    return {
        "kind": "genes",
        "width": genes.width,
        "cases": int(present.sum()),
        "columns": kind_counts(genes.kind),
        "groups": list(genes.groups),
    }


def _head(name: str, info: CohortInfo) -> dict[str, Any]:
    head: dict[str, Any] = {"schema": SCHEMA, "name": name}
    head |= {"endpoint": info.endpoint, "units": info.units}
    if info.horizon_months is not None:
        head["horizon_months"] = info.horizon_months
    if info.default_splits is not None:
        head["default_splits"] = info.default_splits
    head["standardise"] = list(info.standardise)
    head["encoder_saw_tcga"] = info.encoder_saw_tcga
    head["simulated"] = info.simulated
    return head | {text: getattr(info, text) for text in _TEXTS}


def _fingerprints(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(folder.iterdir()):
        status = path.stat()
        found[path.name] = {
            "sha256": _sha256(path),
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
        }
    return found


def _sha256(path: Path) -> str:
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
        same = status.st_size == recorded["size"] and _sha256(path) == recorded["sha256"]
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


def _read(folder: Path, index: Mapping[str, Any], *, all_columns: bool) -> Cohort:
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
        **{text: index.get(text, "") for text in _TEXTS},
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


def _toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Text of a TOML table: values first, then sub-tables."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
    for key, inner in table.items():
        if isinstance(inner, Mapping):
            name = f"{prefix}{_key(key)}"
            lines += ["", f"[{name}]", _toml(inner, f"{name}.").rstrip("\n")]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: str | bool | float | Sequence[str]) -> str:
    if isinstance(value, str):
        # A JSON string is a TOML string, but for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    return "[" + ", ".join(_value(item) for item in value) + "]"
