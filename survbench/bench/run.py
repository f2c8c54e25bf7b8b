"""One cell: fit it unless it is there, and predict the regimes that are not there yet."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from survbench.bench.cell import Cell
from survbench.bench.disk import DiskError
from survbench.bench.ground import Ground
from survbench.bench.machine import hardware, spending, told, versions
from survbench.bench.setting import Setting
from survbench.bench.truth import TRUTH
from survbench.bookmark import Bookmark
from survbench.cohort import Cohort, Regime
from survbench.config import config_of
from survbench.errors import InputError, MissingModalityError, ResultError
from survbench.method import Method, Prediction, Progress, silent
from survbench.registry import get_method
from survbench.score.concordance import comparable_pairs

Report = Callable[[Progress], None]
Begin = Callable[[str], None]
_OF_THE_FILL = ("setting", "setting_id", "changed", "contract")  # of a record


@dataclass(frozen=True)
class Task:
    """One cell to bring up to date.

    Parameters
    ----------
    cell, setting
        What and where.
    splits : str
        Name of the folds.
    preset : str
        Preset that was asked for; `presets` are all that give this config.
    changed : mapping
        Config fields set beside the preset.
    regimes : tuple of str
        Test regimes wanted, canonical text.
    device : str
        Where neural methods compute.
    threads : int
        Threads of this cell.
    strict : bool
        Whether a cohort the method cannot be fitted on ends the run rather than making a dash.
    retry : bool
        Whether a kept failure is tried again.
    """

    cell: Cell
    setting: Setting
    splits: str
    preset: str
    presets: tuple[str, ...]
    changed: Mapping[str, Any]
    regimes: tuple[str, ...]
    device: str = "cpu"
    threads: int = 1
    strict: bool = False
    retry: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a task ended: `done`, `refused` (why is kept), `failed` (why is kept) or `busy`."""

    cell: Cell
    status: str
    message: str = ""


def _unheard(stage: str) -> None:
    """Tell nobody."""


def run_task(
    task: Task, ground: Ground, report: Report = silent, begin: Begin = _unheard
) -> Outcome:
    """Bring one cell up to date, unless another run is at work on it (`busy`).

    `begin` is told "fit" once the cell is ours, then every regime before it is predicted.

    Raises
    ------
    DiskError
        The results folder cannot be written.
    InputError
        The method cannot be fitted on this cohort and the task is strict, or the cell is damaged.
    """
    lock = task.cell.lock
    if not lock.take():
        return Outcome(task.cell, "busy")
    try:
        return _run(task, ground.under(task.setting.control, task.cell.seed), report, begin)
    finally:
        lock.free()


def _run(task: Task, ground: Ground, report: Report, begin: Begin) -> Outcome:
    """What `run_task` does while it holds the cell."""
    cell = task.cell
    begin("fit")
    fitted = None if cell.whole else _try_fit(task, ground, report)
    if not cell.whole:
        return Outcome(cell, "failed", cell.failures["fit"])
    failures = {} if task.retry else cell.failures
    for regime in cell.missing(task.regimes):
        if regime in failures:
            continue
        begin(regime)
        if cell.record["refused"]:
            cell.refuse(regime, cell.record["refused"])
            continue
        fitted = _predict(task, ground, fitted, report, regime)
    return outcome_of(task)


def _try_fit(task: Task, ground: Ground, report: Report) -> Fitted | None:
    """Fit and write the cell; None where that failed or was refused, and why is kept."""
    cell = task.cell
    if "fit" in cell.failures and not task.retry:
        return None
    try:
        return _fit(task, ground, report)
    except (DiskError, ResultError):
        raise
    except InputError as error:
        if task.strict:
            raise
        _keep_refusal(task, ground, str(error))
    except Exception as error:  # whatever a method does, the others go on
        cell.fail("fit", told(error))
    return None


class TruthRow:
    """Row of a simulated cohort, seen as a fit: it keeps the training patients."""

    def __init__(self, name: str, train: Cohort) -> None:
        self._risk = TRUTH[name]
        self._train = train

    def predict(self, cohort: Cohort, *, missing: str) -> Prediction:
        """Risks of everybody who keeps a modality."""
        seen = Regime.parse(missing).apply(cohort).cohort
        return Prediction(seen.case_id, self._risk(self._train, seen))


Fitted: TypeAlias = Method | TruthRow


def method_of(task: Task, report: Report = silent) -> Method:
    """The task's method, not fitted."""
    method = get_method(task.setting.method)
    config = config_of(method.Config, task.setting.config)
    made = method(config, seed=task.cell.seed, device=task.device, report=report)
    made.fill = task.setting.fill or made.fill
    return made


def _fit(task: Task, ground: Ground, report: Report) -> Fitted:
    """Fit and write the cell."""
    train = ground.train(task.cell.fold)
    if task.setting.method in TRUTH:
        row = TruthRow(task.setting.method, train)
        task.cell.write_fit(_record(task, ground), train, _nothing)
        return row
    base = _fit_with_another_fill(task, train)
    if base is None:
        method, record = _fitted_anew(task, ground, report)
    else:
        method, record = _refilled(task, ground, report, base)

    def save(folder: Path) -> None:
        if method.saves:
            method.save(folder)

    task.cell.write_fit(record, train, save)
    if method.bookmark is not None:
        method.bookmark.remove()
    return method


def _fitted_anew(task: Task, ground: Ground, report: Report) -> tuple[Method, dict[str, Any]]:
    """The method fitted, from where a run that was killed has left it, and its record."""
    method, train = method_of(task, report), ground.train(task.cell.fold)
    record = _record(task, ground, method)
    bookmark = method.bookmark = _bookmark(task, record)
    with spending(task.device) as spent:
        method.fit(train, missing=task.setting.train_regime)
    spent.seconds += bookmark.seconds
    return method, record | asdict(spent) | _in_training(method, train)


def _bookmark(task: Task, record: Mapping[str, Any]) -> Bookmark:
    """Where the fit with this record stands, if it was begun by the same source of the method."""
    module = sys.modules[get_method(task.setting.method).__module__]
    source = Path(str(module.__file__)).read_bytes() if getattr(module, "__file__", None) else b""
    known = json.dumps(record, sort_keys=True).encode()
    return Bookmark(task.cell.bookmark, hashlib.sha256(known + source).hexdigest())


def _refilled(
    task: Task, ground: Ground, report: Report, base: Cell
) -> tuple[Method, dict[str, Any]]:
    """The fit of another rule for filling, which then filled nothing in, and its record."""
    method = get_method(task.setting.method).load(base.folder, device=task.device, report=report)
    method.refill(task.setting.fill, ground.train(task.cell.fold))
    own = _record(task, ground, method)
    record = base.record | {key: own[key] for key in _OF_THE_FILL} | {"fit_from": base.setting}
    return method, record


def _fit_with_another_fill(task: Task, train: Cohort) -> Cell | None:
    """Cell whose fit differs in nothing: by the method's own rule, which filled nothing in it."""
    if not task.setting.fill or task.setting.train_regime != "none" or not train.paired.all():
        return None
    base = replace(task.cell, setting=replace(task.setting, fill="").id)
    if not base.whole or base.record["refused"] or not base.record["contract"]["saves"]:
        return None
    base.verify()
    return base


def _nothing(folder: Path) -> None:
    """Save nothing: there are no weights."""


def _fitted_again(task: Task, ground: Ground, report: Report) -> Fitted:
    """The fit of a finished cell: from its weights, or anew where a method cannot save them."""
    train = ground.train(task.cell.fold)
    if task.setting.method in TRUTH:
        return TruthRow(task.setting.method, train)
    method = method_of(task, report)
    if method.saves:
        task.cell.verify()
        return method.load(task.cell.folder, device=task.device, report=report)
    return method.fit(train, missing=task.setting.train_regime)


def _predict(
    task: Task, ground: Ground, fitted: Fitted | None, report: Report, regime: str
) -> Fitted | None:
    """Predict one regime and keep the predictions, the refusal or the failure; gives the fit."""
    test = ground.test(task.cell.fold)
    seen = Regime.parse(regime).apply(test).cohort
    try:
        if len(seen) == 0:
            msg = f"no test patient keeps a modality under {regime}"
            raise MissingModalityError(msg)  # noqa: TRY301
        fitted = fitted or _fitted_again(task, ground, report)
        prediction = fitted.predict(test, missing=regime)
        task.cell.write_prediction(regime, seen, prediction)
    except MissingModalityError as error:
        task.cell.refuse(regime, str(error))
    except (DiskError, ResultError):
        raise
    except Exception as error:
        task.cell.fail(regime, told(error))
    return fitted


def _keep_refusal(task: Task, ground: Ground, reason: str) -> None:
    """Write the cell of a method that cannot be fitted on this cohort."""
    record = _record(task, ground) | {"refused": reason}
    task.cell.write_fit(record, ground.train(task.cell.fold), _nothing)


def outcome_of(task: Task) -> Outcome:
    """What has become of a task whose fit is there: its failures, else its refusals, else done."""
    cell = task.cell
    failed = {regime: why for regime, why in cell.failures.items() if regime in task.regimes}
    if failed:
        return Outcome(cell, "failed", "; ".join(f"{r}: {why}" for r, why in failed.items()))
    refused = {regime: why for regime, why in cell.refusals.items() if regime in task.regimes}
    if refused:
        told_once = dict.fromkeys(refused.values())
        return Outcome(cell, "refused", f"{', '.join(refused)}: {'; '.join(told_once)}")
    return Outcome(cell, "done")


def _record(task: Task, ground: Ground, method: Method | None = None) -> dict[str, Any]:
    """What cell.json says of a fit apart from what the fit itself found out."""
    cell, cohort = task.cell, ground.cohort
    test = ground.test(cell.fold)
    train = ground.train(cell.fold)
    gone = int((ground.left_out == cell.fold).sum())
    return {
        "cohort": cohort.name,
        "cohort_info": _info(cohort),
        "splits": task.splits,
        "setting": asdict(task.setting),
        "setting_id": cell.setting,
        "folds": list(ground.folds),
        "seed": cell.seed,
        "fold": cell.fold,
        "preset": task.preset,
        "presets": list(task.presets),
        "changed": dict(task.changed),
        "contract": _contract(method, cohort),
        "modalities": list(cohort.modalities),
        "refused": None,
        "edges": None,
        "train": {"n": len(train), "events": int(train.event.sum())},
        "test": {"n": len(test), "events": int(test.event.sum())},
        "left_out": {"train": len(ground.left_out) - gone, "test": gone, "splits": ground.unknown},
        "device": task.device,
        "threads": task.threads,
        "hardware": hardware(task.device),
        "versions": versions(task.setting.method),
    }


def _info(cohort: Cohort) -> dict[str, Any]:
    """What tables say about a cohort."""
    info = cohort.info
    return {
        "endpoint": info.endpoint,
        "units": info.units,
        "horizon_months": info.horizon_months,
        "embedded": info.embedded,
        "simulated": info.simulated,
        "note": info.note,
        "cohort_level_preprocessing": info.cohort_level_preprocessing,
        "encoder_saw_tcga": info.encoder_saw_tcga,
    }


def _contract(method: Method | None, cohort: Cohort) -> dict[str, Any]:
    """What a method declares, in the cohort's names."""
    if method is None:
        return {"uses": [], "tolerates": [], "trains_without": [], "fill": None, "saves": False}
    names = {
        key: [name for name in cohort.modalities if declared & {name, "*"}]
        for key, declared in {
            "uses": method.uses,
            "tolerates": method.tolerates,
            "trains_without": method.trains_without,
        }.items()
    }
    return {**names, "fill": method.fill, "saves": method.saves}


def _in_training(method: Method, train: Cohort) -> dict[str, Any]:
    """Record of a fit: updates, parameters, losses, finite edges; concordance and median risk."""
    prediction, seen = _on_training(method, train)
    pairs = comparable_pairs(seen.time, seen.event)
    edges = None if prediction.edges is None else prediction.edges[np.isfinite(prediction.edges)]
    return {
        "fit": _plain(method.record),
        "edges": None if edges is None else [float(edge) for edge in edges],
        "train_c_index": float(pairs.credit(prediction.risk).mean()) if len(pairs) else None,
        "train_median_risk": float(np.median(prediction.risk)),
    }


def _on_training(method: Method, train: Cohort) -> tuple[Prediction, Cohort]:
    """Predictions for the training patients whom the method can predict with nothing masked."""
    seen = Regime().apply(train).cohort
    try:
        return method.predict(seen), seen
    except MissingModalityError:
        seen = seen.select(seen.paired)
        return method.predict(seen), seen


def _plain(value: Any) -> Any:
    """JSON value of what a method noted; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (bool, int, str)) or value is None else str(value)
