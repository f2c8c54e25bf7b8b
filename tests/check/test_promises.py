"""Every promise over the whole registry, and proof that a broken one is noticed, and it alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch

from survbench.check import PROMISES, SLOW, Promise, Trial, examine, in_words, put_to_test
from survbench.check.sample import enlarged, sample_cohort
from survbench.check.trial import tiny
from survbench.cohort import Bags, GeneGroups
from survbench.method import Method
from survbench.registry import get_method, list_methods
from tests.check.broken import (
    BREAKS,
    DrawsUnseeded,
    GivesOneRiskToAll,
    Honest,
    HonestNet,
    Inverted,
    LeavesANoteBehind,
)

NAMES = [entry.name for entry in list_methods() if entry.source == "built in"]
MARKED = [
    pytest.param(one, id=one.__name__, marks=pytest.mark.slow if one in SLOW else ())
    for one in PROMISES
]


@cache
def trial_of(name: str) -> Trial:
    """One trial per method, so that its standard fit is made once."""
    torch.set_num_threads(1)
    return Trial(get_method(name))


@pytest.mark.parametrize("promise", MARKED)
@pytest.mark.parametrize("name", NAMES)
def test_every_method_keeps_every_promise(name: str, promise: Promise) -> None:
    outcome = put_to_test(promise, trial_of(name))
    assert outcome.kept is not False, outcome.reason


@pytest.fixture
def _tidy() -> Iterator[None]:
    """Remove what one of the broken methods leaves behind."""
    yield
    LeavesANoteBehind.note.unlink(missing_ok=True)


def broken_by(method: type[Method], *, quick: bool = False) -> list[str]:
    outcomes = zip(PROMISES, examine(method, quick=quick), strict=True)
    return [promise.__name__ for promise, outcome in outcomes if outcome.kept is False]


@pytest.mark.parametrize("method", [Honest, HonestNet])
def test_an_honest_method_keeps_every_promise(method: type[Method]) -> None:
    assert broken_by(method) == []


@pytest.mark.parametrize("method", BREAKS, ids=lambda method: method.__name__)
@pytest.mark.usefixtures("_tidy")
def test_a_method_that_breaks_a_promise_fails_that_line_and_no_other(method: type[Method]) -> None:
    quick = BREAKS[method] not in {promise.__name__ for promise in SLOW}
    assert broken_by(method, quick=quick) == [BREAKS[method]]


def test_every_promise_has_a_method_that_breaks_it() -> None:
    assert sorted(BREAKS.values()) == sorted(promise.__name__ for promise in PROMISES)


def test_what_cannot_predict_is_told_once_and_the_rest_is_not_tried() -> None:
    verdicts = [outcome.verdict for outcome in examine(GivesOneRiskToAll)]
    assert verdicts == ["ok"] * 4 + ["BROKEN"] + ["not tried"] * (len(PROMISES) - 5)


def test_comparisons_are_not_tried_where_a_method_does_not_repeat_itself() -> None:
    outcomes = list(examine(DrawsUnseeded, quick=True))
    untold = [one for one in outcomes if one.reason == "it does not repeat itself"]
    assert [one.verdict for one in untold] == ["not tried"] * 8


def test_a_quick_examination_leaves_the_slow_promises_out() -> None:
    assert broken_by(Inverted, quick=True) == []
    slow = [one for one in examine(Inverted, quick=True) if one.verdict == "not tried"]
    assert {one.promise for one in slow} == {in_words(promise) for promise in SLOW}


def test_an_error_is_told_with_its_place_on_one_line() -> None:
    def fails(trial: Trial) -> None:
        """It fails."""
        msg = "one\ntwo"
        raise ValueError(msg)

    outcome = put_to_test(fails, Trial(Honest))
    assert outcome.reason.startswith("ValueError: one two (test_promises.py, line ")


def test_a_method_that_ends_the_program_breaks_a_promise() -> None:
    def leaves(trial: Trial) -> None:
        """It leaves."""
        raise SystemExit(0)

    assert put_to_test(leaves, Trial(Honest)).kept is False


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


def test_a_trial_has_the_modalities_a_method_asks_for() -> None:
    class Radiology(Honest):
        uses = frozenset({"P", "R", "age"})

    trial = Trial(Radiology)
    assert trial.names == ("P", "G", "R")
    assert list(trial.test.modalities) == ["P", "G", "R"]


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


def test_an_enlarged_cohort_differs_in_the_first_patients_bags_alone() -> None:
    cohort = sample_cohort(5, ("P", "G"))
    before, after = cohort.modalities["P"], enlarged(cohort, 900).modalities["P"]
    assert isinstance(before, Bags)
    assert isinstance(after, Bags)
    assert after.bag(0).shape == (900, before.width)
    for row in range(1, 5):
        np.testing.assert_array_equal(after.bag(row), before.bag(row))
    assert replace(enlarged(cohort, 900), modalities=cohort.modalities).cases.equals(cohort.cases)
