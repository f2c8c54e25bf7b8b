"""Every promise over the whole registry, and proof that a broken one is noticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from survbench.check import (
    PROMISES,
    Trial,
    examine,
    in_words,
    put_to_test,
    sample_cohort,
)
from survbench.check.trial import tiny
from survbench.cohort import Bags, Cohort, GeneGroups
from survbench.method import ALL, Method, Prediction
from survbench.registry import get_method, list_methods

NAMES = [entry.name for entry in list_methods() if entry.source == "built in"]


@cache
def trial_of(name: str) -> Trial:
    """One trial per method, so that its standard fit is made once."""
    torch.set_num_threads(1)
    return Trial(get_method(name))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_every_method_keeps_every_promise(name: str, promise: Callable[[Trial], None]) -> None:
    outcome = put_to_test(promise, trial_of(name))
    assert outcome.kept is not False, outcome.reason


class Honest(Method):
    """Mean of all features; keeps every promise.

    Source: this test.
    """

    name = "honest"
    tolerates = ALL
    trains_without = ALL

    def fit_cases(self, cohort: Cohort) -> None:
        self.centre = float(scores(cohort).mean())

    def predict_cases(self, cohort: Cohort) -> Prediction:
        return Prediction(cohort.case_id, scores(cohort) - self.centre)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"centre": np.array([self.centre])}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.centre = float(state["centre"][0])


def scores(cohort: Cohort) -> NDArray[np.float64]:
    """Sum over modalities of a patient's mean feature, (N,)."""
    total = np.zeros(len(cohort))
    for modality in cohort.modalities.values():
        for row in np.flatnonzero(modality.present).tolist():
            values = modality.bag(row) if isinstance(modality, Bags) else modality.matrix([row])
            total[row] += values.mean(dtype=np.float64)
    return total


class ReadsPastTheMask(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        features = [mod.features for mod in cohort.modalities.values() if isinstance(mod, Bags)]
        self.centre = float(np.sum([f.sum(dtype=np.float64) for f in features]))


class RanksInCompany(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        return Prediction(cohort.case_id, scores(cohort) - scores(cohort).mean())


class DrawsUnseeded(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        self.centre = float(np.random.default_rng().normal())


class ForgetsItsState(Honest):
    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.centre = 0.0


class WritesIntoItsInput(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        for modality in cohort.modalities.values():
            if isinstance(modality, Bags):
                modality.features[:] = 0


class CannotTakeOnePatch(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        said = super().predict_cases(cohort)
        for modality in cohort.modalities.values():
            if isinstance(modality, Bags):
                spread = [
                    modality.bag(row).std(axis=0, ddof=1).mean() for row in range(len(modality))
                ]
                said = replace(said, risk=said.risk + np.nan_to_num(spread, nan=np.inf))
        return said


class AssumesTwoModalities(Honest):
    def fit_cases(self, cohort: Cohort) -> None:
        super().fit_cases(cohort)
        (_, _) = cohort.modalities.values()


class ImpossibleSurvival(Honest):
    def predict_cases(self, cohort: Cohort) -> Prediction:
        survival = np.tile([1.0, 0.5], (len(cohort), 1))
        return replace(
            super().predict_cases(cohort), survival=survival, edges=np.array([1.0, 2.0, 3.0])
        )


class RanksByOutcome(Honest):
    def predict(self, cohort: Cohort, **_: Any) -> Prediction:  # type: ignore[misc]
        return Prediction(cohort.case_id, -cohort.time)


@pytest.mark.parametrize(
    ("method", "promise"),
    [
        (ReadsPastTheMask, "learns_nothing_from_test_patients"),
        (ReadsPastTheMask, "never_learns_from_what_is_masked"),
        (RanksInCompany, "ignores_order_and_company"),
        (DrawsUnseeded, "repeats_itself"),
        (DrawsUnseeded, "leaves_global_randomness_alone"),
        (ForgetsItsState, "saves_and_loads"),
        (WritesIntoItsInput, "changes_no_input"),
        (CannotTakeOnePatch, "reads_one_patch_bags"),
        (AssumesTwoModalities, "bears_a_third_modality"),
        (ImpossibleSurvival, "survival_falls_from_one"),
        (RanksByOutcome, "states_its_contract"),
        (RanksByOutcome, "predicts_without_outcome"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_method_that_breaks_a_promise_is_found_out(method: type[Method], promise: str) -> None:
    by_name = {one.__name__: one for one in PROMISES}
    assert put_to_test(by_name[promise], Trial(Honest)).kept is not False
    assert put_to_test(by_name[promise], Trial(method)).kept is False


def test_an_honest_method_breaks_only_what_a_test_file_cannot_keep() -> None:
    broken = [outcome for outcome in examine(Honest) if outcome.kept is False]
    assert [outcome.reason for outcome in broken] == [
        "module docstring lacks Source:, Missing modality:, Departs:"
    ]


def test_promises_read_as_sentences() -> None:
    words = [in_words(promise) for promise in PROMISES]
    assert all(sentence.endswith(".") for sentence in words)
    assert len(set(words)) == len(words)


def test_a_config_is_cut_down_by_the_last_word_of_its_fields() -> None:
    @dataclass(frozen=True)
    class Config:
        epochs: int = 20
        sampling_steps: int = 100
        samples: int = 1
        width: int = 256
        weight_of_steps: float = 0.5

    assert tiny(Config()) == Config(epochs=1, sampling_steps=3)


def test_the_sample_cohort_has_what_the_promises_need() -> None:
    cohort = sample_cohort(36, ("P", "G", "R"))
    genes, bags = cohort.modalities["G"], cohort.modalities["P"]
    assert isinstance(genes, GeneGroups)
    assert isinstance(bags, Bags)
    assert (bags.length == 1).any()
    assert sum(map(len, genes.groups.values())) > len(
        set(np.concatenate([*genes.groups.values()]).tolist())
    )
    assert (np.ptp(genes.values, axis=0) == 0).any()
    assert cohort.event.any()
    assert not cohort.event.all()
