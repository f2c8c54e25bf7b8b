"""One honest method, and for every promise one that breaks it and no other.

Source: the tests of survbench.check.
Missing modality: an absent modality adds nothing to the risk.
Departs: in nothing, for there is nothing to depart from.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.cohort import Bags, Cohort, GeneGroups, Modality
from survbench.learn import Batch, NeuralMethod, Recipe, Stage, Widths
from survbench.method import ALL, Method, Prediction

EDGES = np.array([0.0, 12.0, 24.0, 48.0])


def means(cohort: Cohort) -> dict[str, NDArray[np.float64]]:
    """Mean feature vector (N, D) of every modality, zero where it is absent."""
    return {name: _means(modality) for name, modality in cohort.modalities.items()}


def _means(modality: Modality) -> NDArray[np.float64]:
    found = np.zeros((len(modality), modality.width))
    for row in np.flatnonzero(modality.present).tolist():
        values = modality.bag(row) if isinstance(modality, Bags) else modality.matrix([row])
        found[row] = values.mean(axis=0, dtype=np.float64)
    return found


def stored(cohort: Cohort) -> list[NDArray[np.floating]]:
    """What lies behind the bags of a cohort, also of patients who are not in it."""
    return [mod.features for mod in cohort.modalities.values() if isinstance(mod, Bags)]


class Honest(Method):
    """Each feature weighted by how it goes with early death; keeps every promise."""

    tolerates = ALL
    trains_without = ALL

    def fit_cases(self, cohort: Cohort) -> None:
        early = np.where(cohort.event, -np.log(cohort.time), 0.0)
        early[cohort.event] -= early[cohort.event].mean()
        self.weight = {name: early @ values / len(cohort) for name, values in means(cohort).items()}

    def score(self, cohort: Cohort) -> NDArray[np.float64]:
        """Weighted sum (N,) of the features."""
        parts = [values @ self.weight[name] for name, values in means(cohort).items()]
        return np.asarray(np.sum(parts, axis=0))

    def predict_cases(self, cohort: Cohort) -> Prediction:
        hazard = 1 / (1 + np.exp(-np.clip(self.score(cohort), -9, 9)))
        survival = np.cumprod(np.repeat(1 - hazard[:, None], len(EDGES) - 1, axis=1), axis=1)
        risk = np.asarray(-survival.sum(axis=1), np.float64)
        return Prediction(cohort.case_id, risk, survival.astype(np.float64), EDGES)

    def state(self) -> dict[str, NDArray[Any]]:
        return self.weight

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.weight = dict(state)


# -- what it declares


class WrittenForAnotherContract(Honest):
    contract = 0


class Undocumented(Honest):
    __module__ = "tests.check"


@dataclass
class Thawed:
    """A config that can be changed."""


class ConfigThatChanges(Honest):
    Config = Thawed


class ToleratesWhatItDoesNotUse(Honest):
    uses = frozenset({"P"})
    tolerates = frozenset({"P", "G"})


# -- what it predicts


class GivesOneRiskToAll(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        return replace(super().predict_cases(cohort), risk=np.zeros(1))


class StartsSurvivalLate(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        return replace(super().predict_cases(cohort), edges=EDGES + 1)


class CallsADiagnosticRisk(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        said = super().predict_cases(cohort)
        return replace(said, diagnostics={"risk": said.risk})


class RanksInCompany(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        said = super().predict_cases(cohort)
        return replace(said, risk=said.risk - said.risk.mean())


class ComparesBagSizes(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        for modality in cohort.modalities.values():
            if isinstance(modality, Bags) and np.ptp(modality.length) == 0:
                msg = "all bags have one size"
                raise ZeroDivisionError(msg)


class CountsPatchesInTwoBytes(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        for modality in cohort.modalities.values():
            if isinstance(modality, Bags) and modality.length.max() > np.iinfo(np.int16).max:
                msg = "too many patches"
                raise OverflowError(msg)
        return super().predict_cases(cohort)


class DividesBySpread(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        if not any(np.ptp(values, axis=0).any() for values in means(cohort).values()):
            self.weight = {name: weight * np.nan for name, weight in self.weight.items()}


class NeedsManyEvents(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        if cohort.event.sum() < len(EDGES) - 1:
            msg = "an interval has no event"
            raise ValueError(msg)


class AssumesTwoModalities(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        (_, _) = cohort.modalities.values()


class Inverted(Honest):
    def score(self, cohort: Cohort) -> NDArray[np.float64]:
        return -super().score(cohort)


# -- what is missing


class CannotPredictWithoutP(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        if not cohort.modalities["P"].present.all():
            raise KeyError("P")  # noqa: EM101
        return super().predict_cases(cohort)


class CannotTrainWithoutP(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        if not cohort.modalities["P"].present.all():
            raise KeyError("P")  # noqa: EM101


class FillsInSilence(Honest):
    tolerates = frozenset()

    def _refuse_absence(self, cohort: Cohort, needed: set[str]) -> None:
        """Refuse nobody."""


class ReadsPastTheMask(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        said = super().predict_cases(cohort)
        hidden = sum(int(np.isnan(values).sum()) for values in stored(cohort))
        return replace(said, risk=said.risk + hidden)


class LearnsPastTheMask(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        hidden = sum(int(np.isnan(values).sum()) for values in stored(cohort))
        self.weight = {name: weight + hidden for name, weight in self.weight.items()}


class ReadsWhatItDoesNotUse(Honest):
    uses = frozenset({"P"})
    tolerates = frozenset()
    trains_without = frozenset()

    def _narrowed(self, cohort: Cohort, *, outcome: bool) -> Cohort:
        genes = cohort.modalities["G"]
        assert isinstance(genes, GeneGroups)
        self.unused = float(np.isnan(genes.matrix()).any())
        return super()._narrowed(cohort, outcome=outcome)

    def predict_cases(self, cohort: Cohort) -> Prediction:
        said = super().predict_cases(cohort)
        return replace(said, risk=said.risk + self.unused)


# -- what it must not know


class LearnsFromTestPatients(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        huge = sum(int((values > 50).sum()) for values in stored(cohort))
        self.weight = {name: weight + huge for name, weight in self.weight.items()}


class LooksUpTheOutcome(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        said = super().predict_cases(cohort)
        frame = inspect.currentframe()
        while frame is not None and "masked" not in frame.f_locals:
            frame = frame.f_back
        assert frame is not None  # it is called by `predict`, which knows everything
        return replace(said, risk=said.risk - 0.01 * frame.f_locals["masked"].cohort.time)


class KeepsCaseIds(Honest):
    def _narrowed(self, cohort: Cohort, *, outcome: bool) -> Cohort:
        narrowed = super()._narrowed(cohort, outcome=outcome)
        return replace(narrowed, cases=narrowed.cases.set_axis(cohort.case_id))


# -- how it repeats itself, and what it leaves alone


class DrawsUnseeded(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        drawn = np.random.default_rng().normal(scale=1e-3)
        self.weight = {name: weight + drawn for name, weight in self.weight.items()}


class ForgetsItsState(Honest):
    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.weight = {name: np.zeros_like(weight) for name, weight in state.items()}


class SeedsTheWorld(Honest):
    def declare(self) -> None:
        torch.manual_seed(0)


class ChangesTheNumberType(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        torch.set_default_dtype(torch.float64)


class LeavesANoteBehind(Honest):
    note: ClassVar[Path] = Path(tempfile.gettempdir(), "survbench-test-note.txt")

    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        self.note.write_text("fitted")


class WritesIntoItsInput(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        for values in stored(cohort):
            values[:] = 0


class _Linear(nn.Module):
    """Mean patch to hazard logits."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.head = nn.Linear(widths.patch["P"], widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        bags = batch.bags("P")
        logits: Tensor = self.head(bags.mean(bags.features))
        return logits


class HonestNet(NeuralMethod):
    """Linear discrete-time hazards of the mean patch; keeps every promise."""

    uses = frozenset({"P"})
    Config = Recipe
    resumes = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {"epochs": 5, "lr": 0.01}}

    def build(self, widths: Widths) -> nn.Module:
        return _Linear(widths)


class WeighsByCompany(HonestNet):
    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        return super().loss(net, batch) * len(batch)


class CountsItsStepsItself(HonestNet):
    def build(self, widths: Widths) -> nn.Module:
        self.steps = 1
        return super().build(widths)

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        return super().loss(net, batch) / self.steps

    def stages(self) -> list[Stage]:
        return [replace(stage, before_step=self.count) for stage in super().stages()]

    def count(self, net: nn.Module) -> None:
        self.steps += 1


BREAKS: dict[type[Method], str] = {
    WrittenForAnotherContract: "states_its_contract",
    Undocumented: "documents_itself",
    ConfigThatChanges: "configures_by_frozen_dataclass",
    ToleratesWhatItDoesNotUse: "tolerates_only_what_it_uses",
    GivesOneRiskToAll: "predicts_everyone_in_order",
    StartsSurvivalLate: "survival_falls_from_one",
    CallsADiagnosticRisk: "keeps_diagnostics_in_columns_of_their_own",
    RanksInCompany: "ignores_order_and_company",
    ComparesBagSizes: "reads_one_patch_bags",
    CountsPatchesInTwoBytes: "reads_huge_bags",
    DividesBySpread: "bears_constant_columns",
    NeedsManyEvents: "bears_few_events",
    AssumesTwoModalities: "bears_a_third_modality",
    CannotPredictWithoutP: "predicts_under_declared_absence",
    CannotTrainWithoutP: "trains_under_declared_absence",
    FillsInSilence: "refuses_undeclared_absence",
    ReadsPastTheMask: "never_reads_what_is_masked",
    LearnsPastTheMask: "never_learns_from_what_is_masked",
    ReadsWhatItDoesNotUse: "never_reads_what_it_does_not_use",
    LearnsFromTestPatients: "learns_nothing_from_test_patients",
    LooksUpTheOutcome: "predicts_without_outcome",
    KeepsCaseIds: "sees_opaque_ids_alone",
    DrawsUnseeded: "repeats_itself",
    ForgetsItsState: "saves_and_loads",
    SeedsTheWorld: "leaves_global_randomness_alone",
    ChangesTheNumberType: "leaves_settings_alone",
    LeavesANoteBehind: "writes_nothing_elsewhere",
    WritesIntoItsInput: "changes_no_input",
    WeighsByCompany: "computes_patients_together_as_singly",
    CountsItsStepsItself: "goes_on_where_it_was_killed",
    Inverted: "recovers_known_signal",
}
