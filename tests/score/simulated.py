"""Small simulated folds for the tests of scores."""

from dataclasses import replace

import numpy as np

from survbench.score import FoldPredictions


def fold(
    fold: int = 0,
    *,
    seed: int = 0,
    patients: int = 60,
    train: int = 200,
    effect: float = 1.0,
    tied: bool = False,
    stream: int = 0,
) -> FoldPredictions:
    """A fold of exponential lifetimes, censored at random, with up to four survival intervals.

    The outcome depends on `fold` only; `seed` and `stream` change the predictions. With `tied`,
    times are whole months and risks have one decimal, so that both tie.
    """
    rng = np.random.default_rng([11, fold])
    x = rng.normal(size=patients + train)
    death = rng.exponential(20 * np.exp(-effect * x)) + 0.01
    lost = rng.exponential(40, size=patients + train) + 0.01
    time, event = np.minimum(death, lost), death <= lost
    noise = np.random.default_rng([seed, fold, stream]).normal(size=patients + train)
    risk = x + 0.7 * noise
    if tied:
        time, risk = np.ceil(time / 6), np.round(risk, 1)
    deaths = time[patients:][event[patients:]]
    edges = np.unique([0.0, *np.quantile(deaths, [0.25, 0.5, 0.75])])
    hazard = 1 / (1 + np.exp(1.2 - 0.6 * risk[:patients, None] + np.zeros(len(edges))))
    here = slice(0, patients)
    return FoldPredictions(
        fold=fold,
        seed=seed,
        case_id=np.array([f"case-{fold}-{i:04d}" for i in range(patients)]),
        time=time[here],
        event=event[here],
        risk=risk[here],
        survival=np.asarray(np.cumprod(1 - hazard, axis=1), np.float64),
        edges=edges,
        train_time=time[patients:],
        train_event=event[patients:],
    )


def resampled(cell: FoldPredictions, weights: np.ndarray) -> FoldPredictions:
    """The fold in which patient i stands weights[i] times."""
    rows = np.repeat(np.arange(len(cell)), weights.astype(int))
    return replace(
        cell,
        case_id=np.array([f"{cell.case_id[row]}-{i}" for i, row in enumerate(rows)]),
        time=cell.time[rows],
        event=cell.event[rows],
        risk=cell.risk[rows],
        survival=None,
    )
