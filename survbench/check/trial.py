"""A method on trial: small cohorts, a config cut down to seconds, and what may be absent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from survbench.check.sample import sample_cohort
from survbench.cohort import Cohort
from survbench.cohort.cohort import COVARIATES
from survbench.errors import SurvbenchError
from survbench.method import ALL, Method, Prediction
from survbench.streams import isolated

if TYPE_CHECKING:
    from survbench.learn import NeuralMethod

TINY = {"epochs": 1, "steps": 3, "samples": 2}  # config fields cut down, by their last word


class BrokenPromiseError(SurvbenchError):
    """A promise is not kept; the message says how."""


class NotConcernedError(SurvbenchError):
    """A promise does not concern this method; the message says why."""


@dataclass(frozen=True)
class Trial:
    """One method on small cohorts, with a config cut down to seconds."""

    method: type[Method]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Modalities of the cohorts: P, G and whatever else the method reads."""
        uses = self.new().uses
        return ("P", "G", *sorted(uses - ALL - {"P", "G"} - set(COVARIATES)))

    @property
    def train(self) -> Cohort:
        """Training patients; made anew each time, whatever a method did to the last ones."""
        return sample_cohort(36, self.names, seed=1)

    @property
    def test(self) -> Cohort:
        """Patients to predict; made anew each time."""
        return sample_cohort(12, self.names, seed=2, fold=None)

    def new(self) -> Method:
        """Unfitted method with the small config."""
        return self.method(tiny(self.method.preset("quick")), seed=3)

    def fit(self, cohort: Cohort | None = None, missing: str = "none") -> Method:
        """Method fitted on `cohort`, the training cohort when None."""
        return self.new().fit(self.train if cohort is None else cohort, missing=missing)

    @cached_property
    def fitted(self) -> Method:
        """Method fitted on the training cohort, fitted once."""
        return self.fit()

    @property
    def uses(self) -> list[str]:
        """Modalities of the cohort that the method reads."""
        return [name for name in self.names if declared(self.new().uses, name)]

    @property
    def refused(self) -> list[str]:
        """Modalities whose absence must be refused: used, neither tolerated nor filled."""
        method = self.new()
        if method.fill is not None:
            return []
        return [name for name in self.uses if not declared(method.tolerates, name)]

    @property
    def bearable(self) -> list[str]:
        """Modalities that may be absent in predict: unused, tolerated or filled."""
        return [name for name in self.names if name not in self.refused]

    @cached_property
    def regimes(self) -> list[str]:
        """Regimes the method does predict under: the others are the matter of one promise."""
        return [missing for missing in self.promised if self._predicts(missing)]

    @property
    def promised(self) -> list[str]:
        """Regimes the method must predict under, `none` first."""
        alone = [text for name in self.bearable for text in (name, f"{name}@0.5")]
        both = "+".join(f"{name}@0.5" for name in self.bearable)
        return ["none", *alone, *([both] if len(self.bearable) > 1 else [])]

    def _predicts(self, missing: str) -> bool:
        """Whether predicting under a regime raises nothing."""
        try:
            self.fitted.predict(self.test, missing=missing)
        except Exception:
            return False
        return True


def tiny(config: Any) -> Any:
    """Config with its epochs, steps and samples cut down, whatever the method calls them."""
    changes = {}
    for entry in dataclasses.fields(config):
        value, most = getattr(config, entry.name), TINY.get(entry.name.split("_")[-1])
        if most is not None and isinstance(value, int) and not isinstance(value, bool):
            changes[entry.name] = min(value, most)
    return replace(config, **changes)


def declared(names: frozenset[str], name: str) -> bool:
    """Whether a modality is in a declaration, which may be ALL."""
    return names == ALL or name in names


def owner(method: type[Method], name: str) -> type:
    """Class that defines an attribute of a method."""
    return next(kind for kind in method.__mro__ if name in vars(kind))


def watched(trial: Trial) -> tuple[Method, list[Cohort]]:
    """Unfitted method, and a list that will hold each cohort it is shown."""
    seen: list[Cohort] = []

    class Watched(trial.method):  # type: ignore[misc, name-defined]
        """The method, its cohorts noted."""

        def fit_cases(self, cohort: Cohort) -> None:
            seen.append(cohort)
            super().fit_cases(cohort)

        def predict_cases(self, cohort: Cohort) -> Prediction:
            seen.append(cohort)
            return super().predict_cases(cohort)  # type: ignore[no-any-return]

    return Watched(tiny(trial.method.preset("quick")), seed=3), seen


Gradients = dict[str, NDArray[np.float64]]


def gradients(
    method: NeuralMethod, cohort: Cohort, count: int = 10
) -> Iterator[tuple[str, Gradients, Gradients]]:
    """Of each stage: gradients of one step, its patients computed together, and one by one."""
    from survbench.learn import label  # noqa: PLC0415
    from survbench.learn.trainer import accumulate  # noqa: PLC0415

    rows = np.arange(min(count, len(cohort)))
    interval = label(cohort.time, method.edges)
    for stage in method.stages():
        both: list[Gradients] = []
        for part in [method.net, *(stage.modules(method.net) if stage.modules else ())]:
            part.eval()  # dropout off, also in parts that are gone after training
        for budget in (10**9, 0):
            method.net.zero_grad(set_to_none=True)
            with isolated(0):
                accumulate(method.net, stage.loss, cohort, rows, interval, patch_budget=budget)
            both.append(
                {
                    name: parameter.grad.double().numpy().copy()
                    for name, parameter in method.net.named_parameters()
                    if parameter.grad is not None
                }
            )
        yield stage.name, both[0], both[1]
