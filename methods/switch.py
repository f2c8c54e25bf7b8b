"""One ridge Cox per set of modalities, picked by presence: the honest competitor for missingness.

Source: the reduced-models strategy of Saar-Tsechansky & Provost, Handling missing values when
    applying classification models, JMLR 2007; each model as in `cox`.
Missing modality: the model of exactly the modalities a patient has; nothing is filled in. Where
    training showed no death with that set, the largest part of it that it did show.
Departs: no official code. Each set is fitted on every training patient who has it, so a patient
    with both modalities serves three models. Risks of different sets share one scale: the log
    hazard ratio against the mean of the patients that set was trained on, stretched so that it is
    one on held-out inner folds (the penalty that ranks best may shrink one set far more).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survbench.cohort import Cohort
from survbench.errors import MissingModalityError
from survbench.learn.ridge_cox import Array, RidgeCox, block_of, fit_components, time_grid
from survbench.method import ALL, Method, Prediction

Set = tuple[str, ...]


@dataclass(frozen=True)
class SwitchConfig:
    """What each regression reads."""

    components: int = 100  # of each block, at most


class Switch(Method):
    """Ridge Cox models by presence; see the module docstring."""

    tolerates = ALL
    trains_without = ALL
    Config = SwitchConfig

    def fit_cases(self, cohort: Cohort) -> None:
        """Fit every set of modalities that a training patient with an event has."""
        blocks = {name: block_of(cohort, name) for name in cohort.modalities}
        time, event = cohort.time, cohort.event
        edges = time_grid(time, event)
        self.models: dict[Set, RidgeCox] = {}
        for chosen in _sets(list(blocks)):
            has = cohort.present[list(chosen)].to_numpy().all(axis=1)
            if event[has].any():
                part = {name: blocks[name][has] for name in chosen}
                most = self.config.components
                self.models[chosen] = fit_components(
                    part, time[has], event[has], most=most, edges=edges
                )
        weights = [weight for model in self.models.values() for weight in model.weight.values()]
        self.record |= {"parameters": sum(map(len, weights)), "models": len(self.models)}

    def predict_cases(self, cohort: Cohort) -> Prediction:
        """Log hazard ratio and survival (N, K) from the model of what each patient has."""
        blocks = {name: block_of(cohort, name) for name in cohort.modalities}
        present = cohort.present.to_numpy()
        edges = next(iter(self.models.values())).edges
        risk, survival = np.zeros(len(cohort)), np.zeros((len(cohort), len(edges) - 1))
        for pattern in np.unique(present, axis=0):
            model = self._model_of(cohort.present.columns[pattern].tolist())
            rows = np.flatnonzero((present == pattern).all(axis=1))
            part = {name: blocks[name][rows] for name in model.centre}
            risk[rows] = model.risk(part)
            survival[rows] = model.survival(risk[rows])
        return Prediction(cohort.case_id, risk, survival, edges)

    def state(self) -> dict[str, Array]:
        """Arrays of every model, under the names of its modalities."""
        return {
            name: value
            for chosen, model in self.models.items()
            for name, value in model.state(f"{'+'.join(chosen)}/").items()
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the models back."""
        found = {name.split("/")[0] for name in state}
        self.models = {
            tuple(one.split("+")): RidgeCox.restore(state, f"{one}/") for one in sorted(found)
        }

    def _model_of(self, has: Sequence[str]) -> RidgeCox:
        """The model of these modalities, else of the first largest part of them that was fitted."""
        for chosen in sorted(_sets(has), key=len, reverse=True):
            for trained, model in self.models.items():
                if set(trained) == set(chosen):
                    return model
        msg = (
            f"switch saw no training patient with any of {', '.join(has)} and an event; choose "
            "another training regime or leave those patients out"
        )
        raise MissingModalityError(msg)


def _sets(names: Sequence[str]) -> list[Set]:
    """Every non-empty set of the names, small ones first."""
    return [one for size in range(1, len(names) + 1) for one in combinations(names, size)]
