"""Writing a cohort folder: under a temporary name beside its place, renamed when whole."""

from __future__ import annotations

import json
import math
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.cohort import COVARIATES, Cohort, CohortInfo
from survbench.cohort.content import hash_cohort
from survbench.cohort.description import kind_counts
from survbench.cohort.folder import (
    DROPPED,
    INDEX,
    MODALITY,
    NAME,
    SCHEMA,
    TEXTS,
    read_parts,
    sha256_of,
)
from survbench.cohort.modality import Bags, GeneGroups
from survbench.cohort.text_table import check_case_id
from survbench.errors import CohortError

_SEEN_TCGA = ("yes", "no", "unknown")


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
        data_hash = hash_cohort(read_parts(staging, index, all_columns=True))
        index = {**head, "data_hash": data_hash, "modalities": sections, "files": index["files"]}
        (staging / INDEX).write_text(_toml(index), encoding="utf-8")
    return data_hash


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
        if not MODALITY.fullmatch(modality):
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
    return head | {text: getattr(info, text) for text in TEXTS}


def _fingerprints(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(folder.iterdir()):
        status = path.stat()
        found[path.name] = {
            "sha256": sha256_of(path),
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
        }
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
