"""A recorded cell made again from its record alone, and its predictions compared."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survbench.bench.cell import Cell, find_cells
from survbench.bench.execute import Watcher, execute
from survbench.bench.ground import Source
from survbench.bench.machine import hardware, versions
from survbench.bench.plan import Plan
from survbench.bench.run import Task
from survbench.bench.setting import Setting
from survbench.bench.truth import TRUTH
from survbench.bench.truth import VERSION as TRUTH_VERSION
from survbench.cohort.catalogue import list_cohorts
from survbench.cohort.folds import list_splits
from survbench.errors import ResultError
from survbench.registry import get_method
from survbench.score.predictions import SURVIVAL, PredictionTable

TOLERANCE = 1e-3  # of risk and survival, which are about 1: rounding grows while a net is trained


@dataclass(frozen=True)
class Reproduction:
    """What came of making a cell again.

    Parameters
    ----------
    cell : Cell
        The recorded one.
    changed : tuple of str
        What is not as it was then: versions, hardware.
    tolerance : float
        How far a number may be off, per 1 or per its size above 1; 0 is bit by bit.
    differences : mapping of regime to str
        The first difference of each regime; empty where there is none.
    patients : mapping of regime to int
        How many patients were compared.
    """

    cell: Cell
    changed: tuple[str, ...]
    tolerance: float
    differences: Mapping[str, str]
    patients: Mapping[str, int]

    @property
    def equal(self) -> bool:
        """Whether no regime differs."""
        return not any(self.differences.values())


def reproduce(
    folder: str | Path,
    *,
    cohort: str | None = None,
    splits: str | None = None,
    tolerance: float = TOLERANCE,
) -> Reproduction:
    """Fit and predict a recorded cell again, and compare every regime it holds.

    Bit by bit where versions and hardware are those of the record, else within `tolerance`.

    Parameters
    ----------
    folder : path
        Where cell.json is.
    cohort : str or None
        Cohort folder; None for a cohort that comes with survbench.
    splits : str or None
        Splits; None for those of the record's name, or the cohort's own.
    tolerance : float
        See `Reproduction`.

    Raises
    ------
    ResultError
        There is no whole cell, it is damaged, or cohort, splits or method are not those it names.
    """
    cell = _cell_at(Path(folder))
    record = cell.record
    setting = Setting(**record["setting"])
    _check_method(cell, setting)
    source = _source(cell, setting, cohort, splits)
    device = _device(record["device"])
    changed = tuple(_changes(record, device))
    with tempfile.TemporaryDirectory() as results:
        again = Cell(
            Path(results), cell.cohort, setting.method, setting.id, record["seed"], record["fold"]
        )
        _make(again, record, setting, source, device, (*cell.regimes, *cell.refusals))
        allowed = tolerance if changed else 0.0
        differences = {name: _difference(cell, again, name, allowed) for name in cell.regimes}
        for name in cell.refusals:
            refused = name in again.refusals
            differences[name] = "" if refused else "was refused then, is predicted now"
    patients = {name: len(cell.prediction(name).risk) for name in cell.regimes}
    return Reproduction(cell, changed, allowed, differences, patients)


def _cell_at(folder: Path) -> Cell:
    """The whole, undamaged cell in a folder."""
    place = folder.resolve()
    if len(place.parents) > 3 and place.parents[3].is_dir():
        for cell in find_cells(place.parents[3]):
            if cell.folder.resolve() == place:
                cell.verify()
                if not cell.regimes and not cell.refusals:
                    msg = f"{folder} holds no predictions; run its method with --missing first"
                    raise ResultError(msg)
                return cell
    msg = (
        f"{folder} is no finished cell; name a folder "
        "RESULTS/COHORT/METHOD/SETTING/seedS-foldK that holds cell.json and SHA256SUMS"
    )
    raise ResultError(msg)


def _check_method(cell: Cell, setting: Setting) -> None:
    """Refuse a record that contradicts itself, or another version of the method."""
    if setting.id != cell.record["setting_id"]:
        msg = (
            f"{cell.folder / 'cell.json'}: the setting is {setting.id}, but it says "
            f"{cell.record['setting_id']}; the record was changed by hand: take a fresh copy"
        )
        raise ResultError(msg)
    name = setting.method
    installed = TRUTH_VERSION if name in TRUTH else get_method(name).version
    if installed != setting.version:
        made = cell.record["versions"].get("survbench", "?")
        msg = (
            f"the cell was made by {name} version {setting.version}, installed is version "
            f"{installed}; install what it was made with (survbench {made})"
        )
        raise ResultError(msg)


def _source(cell: Cell, setting: Setting, cohort: str | None, splits: str | None) -> Source:
    """Where the patients of the record come from, contents checked."""
    name, named = cell.record["cohort"], cell.record["splits"]
    if cohort is None and name not in list_cohorts():
        msg = f"cohort {name!r} does not come with survbench; give its folder with --cohort FOLDER"
        raise ResultError(msg)
    if splits is None and named in list_splits():
        splits = named
    source = Source(cohort or name, splits, setting.population)
    ground = source.ground
    found = ground.cohort.info.data_hash
    if found != setting.cohort_hash:
        msg = (
            f"cohort {source.cohort!r} has hash {found[:12]}, the cell was made on "
            f"{setting.cohort_hash[:12]}; give the folder it was made on with --cohort"
        )
        raise ResultError(msg)
    if ground.split_hash != setting.split_hash:
        msg = (
            f"splits {ground.splits!r} have hash {ground.split_hash[:12]}, the cell was made on "
            f"{setting.split_hash[:12]} ({named!r}); give those with --splits"
        )
        raise ResultError(msg)
    return source


def _device(recorded: str) -> str:
    """The recorded device, or the processor where there is none."""
    if recorded == "cpu":
        return recorded
    import torch  # noqa: PLC0415  (only where needed)

    return recorded if torch.cuda.is_available() else "cpu"


def _changes(record: Mapping[str, Any], device: str) -> list[str]:
    """What is not as the record has it."""
    then = {**record["versions"], **record["hardware"], "device": record["device"]}
    now = {**versions(record["setting"]["method"]), **hardware(device), "device": device}
    return [
        f"{key}: {then.get(key, 'none')} then, {now.get(key, 'none')} now"
        for key in dict.fromkeys([*then, *now])
        if then.get(key) != now.get(key)
    ]


def _make(
    again: Cell,
    record: Mapping[str, Any],
    setting: Setting,
    source: Source,
    device: str,
    regimes: tuple[str, ...],
) -> None:
    """Fit and predict in a process of its own, with as many threads as then."""
    task = Task(
        cell=again,
        setting=setting,
        splits=record["splits"],
        preset=record["preset"],
        presets=tuple(record["presets"]),
        changed=record["changed"],
        regimes=regimes,
        device=device,
        threads=record["threads"],
    )
    plan = Plan(source, source.ground, [task], [task], regimes, again.results, jobs=1, timeout=None)
    execute(plan, Watcher())


def _difference(then: Cell, now: Cell, regime: str, tolerance: float) -> str:
    """The first difference between the predictions of a regime, in words; empty for none."""
    failures, refusals = now.failures, now.refusals
    if regime in refusals:
        return f"was predicted then, is refused now: {refusals[regime]}"
    for stage in ("fit", regime):
        if stage in failures:
            return f"failed now: {failures[stage]}"
    return first_difference(then.prediction(regime), now.prediction(regime), tolerance)


def first_difference(then: PredictionTable, now: PredictionTable, tolerance: float) -> str:
    """First case and column in which two predictions differ by more than `tolerance`, in words."""
    if not np.array_equal(then.case_id, now.case_id):
        return f"other patients: {len(then.case_id)} then, {len(now.case_id)} now"
    before, after = _columns(then), _columns(now)
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())
        return f"column {odd[0]!r} is there only {'then' if odd[0] in before else 'now'}"
    for name, column in before.items():
        off = _off(column, after[name], tolerance)
        if off.any():
            row = int(np.argmax(off))
            return (
                f"case {str(then.case_id[row])!r}, column {name!r}: {column[row]!r} then, "
                f"{after[name][row]!r} now; {int(off.sum())} of {len(off)} patients differ"
            )
    return ""


def _columns(table: PredictionTable) -> dict[str, NDArray[np.float64]]:
    """Every column of a prediction file as numbers, in the order of the file."""
    columns: dict[str, Any] = {"time": table.time, "event": table.event, "risk": table.risk}
    if table.survival is not None:
        parts = enumerate(table.survival.T, start=1)
        columns |= {f"{SURVIVAL}{k}": column for k, column in parts}
    columns |= {f"has_{name}": column for name, column in table.has.items()}
    columns |= table.diagnostics
    return {name: np.asarray(column, np.float64) for name, column in columns.items()}


def _off(
    then: NDArray[np.float64], now: NDArray[np.float64], tolerance: float
) -> NDArray[np.bool_]:
    """Where two columns (N,) differ; NaN equals NaN alone."""
    near = np.abs(then - now) <= tolerance * np.maximum(1.0, np.abs(then))
    return ~(near | (np.isnan(then) & np.isnan(now)))
