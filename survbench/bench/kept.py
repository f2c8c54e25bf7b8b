"""A fit with its predictions as it is kept, in a results folder or in a submission."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from survbench.score.predictions import Array, FoldPredictions, Mask, PredictionTable


class KeptFit(ABC):
    """What scores are made from: one setting, seed and fold, whatever files hold it.

    Attributes
    ----------
    cohort, method, setting : str
        Name of the cohort, name of the method, id of the setting.
    seed, fold : int
        Which fit of the setting.
    """

    cohort: str
    method: str
    setting: str
    seed: int
    fold: int

    @property
    def place(self) -> str:
        """Path inside a results folder."""
        own = f"seed{self.seed}-fold{self.fold}"
        return f"{self.cohort}/{self.method}/{self.setting}/{own}"

    @property
    @abstractmethod
    def record(self) -> dict[str, Any]:
        """What is known of the fit: its setting, edges, contract, versions."""

    @property
    @abstractmethod
    def regimes(self) -> list[str]:
        """Test regimes with predictions, sorted."""

    @property
    @abstractmethod
    def refusals(self) -> Mapping[str, str]:
        """Reason of every regime the method cannot predict."""

    @abstractmethod
    def prediction(self, regime: str) -> PredictionTable:
        """Predictions of a regime, checked against their hash."""

    @abstractmethod
    def prediction_lines(self, regime: str) -> list[Sequence[str]]:
        """Text of the same, the header first, checked against its hash."""

    @abstractmethod
    def train_outcome(self) -> tuple[NDArray[np.str_], Array, Mask]:
        """Case ids, months and events of the training patients, checked against their hash."""

    def scorable(self, regime: str) -> FoldPredictions:
        """Predictions of a regime with the edges and the training outcome that scores need."""
        table, edges = self.prediction(regime), self.record["edges"]
        _, train_time, train_event = self.train_outcome()
        return FoldPredictions(
            fold=self.fold,
            seed=self.seed,
            case_id=table.case_id,
            time=table.time,
            event=table.event,
            risk=table.risk,
            survival=table.survival,
            edges=None if edges is None else np.array(edges, np.float64),
            train_time=train_time,
            train_event=train_event,
            train_median_risk=self.record.get("train_median_risk"),
        )

    def filled(self, regime: str) -> bool:
        """Whether the method had something filled in for somebody: such rows are marked `*`."""
        contract = self.record["contract"]
        if contract["fill"] is None:
            return False
        has = self.prediction(regime).has
        needed = set(contract["uses"]) - set(contract["tolerates"])
        return not all(has[name].all() for name in needed)
