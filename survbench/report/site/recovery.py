"""How well a method recovered what was missing: means of the diagnostics it saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from survbench.bench.kept import KeptFit
from survbench.score.predictions import Array


def recovery(fits: Iterable[KeptFit]) -> dict[str, dict[str, float]]:
    """Mean of every diagnostic of every row, by <cohort>/<setting>/<regime>.

    A mean is over the patients for whom the method gave a finite number, all folds and seeds
    together; a row without any has no entry.

    Raises
    ------
    ResultError
        A prediction file is damaged.
    """
    values: dict[str, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    for fit in fits:
        for regime in fit.regimes:
            of_row = values[f"{fit.cohort}/{fit.setting}/{regime}"]
            for name, column in fit.prediction(regime).diagnostics.items():
                of_row[name].append(column[np.isfinite(column)])
    means = {
        key: {name: _mean(parts) for name, parts in of_row.items()}
        for key, of_row in values.items()
    }
    known = {key: {k: v for k, v in each.items() if np.isfinite(v)} for key, each in means.items()}
    return {key: each for key, each in sorted(known.items()) if each}


def _mean(parts: list[Array]) -> float:
    joined = np.concatenate(parts)
    return float(joined.mean()) if len(joined) else float("nan")
