"""A results folder written cell by cell, as a run leaves it, with simulated predictions."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from survbench.bench.cell import Cell
from survbench.cohort import Cohort
from survbench.method import Prediction
from survbench.score import FoldPredictions
from tests.score.simulated import fold as simulated

SPLIT = "f" * 64
DATA = "d" * 64


def write_method(
    results: Path,
    method: str,
    *,
    setting: str = "0123456789ab",
    folds: Iterable[int] = (0, 1, 2),
    seeds: Iterable[int] = (0,),
    regimes: Sequence[str] = ("none",),
    refused: dict[str, str] | None = None,
    stream: int = 0,
    survival: bool = True,
    config: dict[str, Any] | None = None,
    control: str = "none",
    train_regime: str = "none",
    **changes: Any,
) -> list[Cell]:
    """Cells of one setting; `changes` replace entries of each record."""
    cells = []
    for fold in folds:
        for seed in seeds:
            cell = Cell(results, "toy", method, setting, seed, fold)
            made = simulated(fold, seed=seed, stream=stream)
            record = _record(cell, made, config or {}) | changes
            record["setting"] |= {"control": control, "train_regime": train_regime}
            if not survival:
                record["edges"] = None
            cell.write_fit(record, _cohort(made, train=True), lambda folder: None)
            for regime in regimes:
                _write(cell, regime, made, survival)
            for regime, reason in (refused or {}).items():
                cell.refuse(regime, reason)
            cells.append(cell)
    return cells


def _record(cell: Cell, made: FoldPredictions, config: dict[str, Any]) -> dict[str, Any]:
    assert made.edges is not None
    return {
        "cohort": "toy",
        "cohort_info": {
            "horizon_months": 12.0,
            "simulated": True,
            "note": "",
            "cohort_level_preprocessing": "",
            "encoder_saw_tcga": "no",
        },
        "splits": "toy",
        "setting": {
            "cohort_hash": DATA,
            "split_hash": SPLIT,
            "population": "paired",
            "train_regime": "none",
            "method": cell.method,
            "version": 1,
            "config": config,
        },
        "seed": cell.seed,
        "fold": cell.fold,
        "folds": [0, 1, 2],
        "preset": "quick",
        "presets": ["quick"],
        "changed": {},
        "contract": {"uses": ["P", "G"], "tolerates": [], "trains_without": [], "fill": None},
        "modalities": ["P", "G"],
        "refused": None,
        "edges": made.edges.tolist(),
        "test": {"n": len(made), "events": int(made.event.sum())},
        "left_out": {"train": 0, "test": 2, "splits": 1},
        "train_c_index": 0.8,
    }


def _cohort(made: FoldPredictions, *, train: bool = False) -> Cohort:
    if train:
        assert made.train_time is not None
        time, event = made.train_time, made.train_event
        case_id = np.array([f"train-{i}" for i in range(len(time))])
    else:
        time, event, case_id = made.time, made.event, made.case_id
    index = pd.Index(case_id, name="case_id")
    return Cohort("toy", pd.DataFrame({"time": time, "event": event}, index=index), {})


def _write(cell: Cell, regime: str, made: FoldPredictions, survival: bool) -> None:
    missing = regime != "none"
    n = len(made)
    prediction = Prediction(
        case_id=made.case_id,
        risk=made.risk,
        survival=made.survival if survival else None,
        edges=np.append(made.edges, np.inf) if survival and made.edges is not None else None,
        diagnostics={"has_P": np.ones(n, bool), "has_G": np.full(n, not missing)},
    )
    cell.write_prediction(regime, _cohort(made), prediction)
