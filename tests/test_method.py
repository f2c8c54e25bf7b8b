"""The border of Method: what a method is shown, what is refused, and what is filled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from survbench.check import sample_cohort
from survbench.check.sample import planted, thinned
from survbench.cohort import Bags, Cohort, GeneGroups
from survbench.errors import InputError, MissingModalityError, ResultError, SurvbenchError
from survbench.method import ALL, Method, Prediction


@dataclass(frozen=True)
class ProbeConfig:
    width: int = 3
    kernels: tuple[int, ...] = (7, 5)


class Probe(Method):
    """Keeps what it is shown; risk is a random number of its own stream."""

    name: ClassVar[str] = "probe"
    Config = ProbeConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {"width": 1}}

    def fit_cases(self, cohort: Cohort) -> None:
        self.trained = cohort
        self.draw = np.random.normal()  # noqa: NPY002  (the global state, which the suite seeds)

    def predict_cases(self, cohort: Cohort) -> Prediction:
        self.shown = cohort
        return Prediction(cohort.case_id, np.arange(len(cohort), dtype=np.float64) + self.draw)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"draw": np.array([self.draw])}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.draw = float(state["draw"][0])


class Tolerant(Probe):
    tolerates = ALL
    trains_without = ALL


class OnlyP(Probe):
    uses = frozenset({"P", "age"})


class FilledZero(Probe):
    fill = "zero"


class FilledThree(Probe):
    fill = "zero:3"


class FilledMean(Probe):
    fill = "mean"


TRAIN = sample_cohort(20, seed=1)
TEST = sample_cohort(8, seed=2, fold=3)


def bags_of(cohort: Cohort) -> Bags:
    bags = cohort.modalities["P"]
    assert isinstance(bags, Bags)
    return bags


def genes_of(cohort: Cohort) -> GeneGroups:
    genes = cohort.modalities["G"]
    assert isinstance(genes, GeneGroups)
    return genes


# -- what it is shown


def test_fit_sees_outcome_under_opaque_ids_and_predict_sees_neither() -> None:
    probe = Probe().fit(TRAIN)
    probe.predict(TEST)
    assert set(probe.trained.cases) == {"time", "event"}
    assert probe.trained.fold == 0
    assert list(probe.shown.cases) == []
    assert probe.shown.fold is None
    assert probe.shown.info.truth is None
    for seen, real in ((probe.trained, TRAIN), (probe.shown, TEST)):
        assert len(set(seen.case_id)) == len(real)
        assert not any(
            case[:3] in opaque for case, opaque in zip(real.case_id, seen.case_id, strict=True)
        )


def test_an_opaque_id_is_the_same_for_a_patient_everywhere() -> None:
    probe = Probe().fit(TRAIN)
    probe.predict(TRAIN)
    np.testing.assert_array_equal(probe.trained.case_id, probe.shown.case_id)


def test_predictions_carry_the_real_case_ids() -> None:
    np.testing.assert_array_equal(Probe().fit(TRAIN).predict(TEST).case_id, TEST.case_id)


def test_covariates_and_modalities_are_shown_only_if_declared() -> None:
    probe = OnlyP().fit(TRAIN)
    probe.predict(TEST)
    assert set(probe.trained.cases) == {"time", "event", "age"}
    assert list(probe.shown.cases) == ["age"]
    assert list(probe.shown.modalities) == ["P"]


def test_what_is_masked_is_absent_and_out_of_reach() -> None:
    probe = Tolerant().fit(TRAIN)
    probe.predict(planted(TEST, "P@0.5+G@0.5"), missing="P@0.5+G@0.5")
    genes = genes_of(probe.shown)
    assert 0 < genes.present.sum() < len(TEST)
    assert np.isfinite(genes.values).all()  # the whole table, not only the rows in use
    for row in range(len(TEST)):
        assert np.isfinite(bags_of(probe.shown).bag(row)).all()


def test_genes_arrive_transformed_by_the_training_patients() -> None:
    probe = Probe().fit(TRAIN)
    probe.predict(TEST)
    column = 8  # a copy number: (x - mean) / deviation of the training patients
    raw, seen = (genes_of(cohort).matrix()[:, column] for cohort in (TRAIN, probe.trained))
    np.testing.assert_allclose(seen, (raw - raw.mean()) / raw.std(), rtol=1e-5)
    test, shown = (genes_of(cohort).matrix()[:, column] for cohort in (TEST, probe.shown))
    np.testing.assert_allclose(shown, (test - raw.mean()) / raw.std(), rtol=1e-5)


def test_a_method_may_opt_out_of_transforms() -> None:
    class Raw(Probe):
        transforms = False

    probe = Raw().fit(TRAIN)
    np.testing.assert_array_equal(genes_of(probe.trained).matrix(), genes_of(TRAIN).matrix())
    np.testing.assert_array_equal(bags_of(probe.trained).bag(0), bags_of(TRAIN).bag(0))


# -- what is missing


def test_without_tolerance_absence_is_refused_and_counted() -> None:
    probe = Probe().fit(TRAIN)
    with pytest.raises(MissingModalityError, match="8 of 8 test patients lack P"):
        probe.predict(TEST, missing="P")
    with pytest.raises(MissingModalityError, match=r"of 8 test patients lack G"):
        probe.predict(thinned(TEST), missing="none")


def test_absence_of_what_is_not_used_is_no_absence() -> None:
    probe = OnlyP().fit(TRAIN)
    np.testing.assert_array_equal(probe.predict(TEST).risk, probe.predict(TEST, missing="G").risk)
    with pytest.raises(MissingModalityError, match="lack P"):
        probe.predict(TEST, missing="P")


def test_patients_it_cannot_train_on_are_left_out_of_training() -> None:
    assert len(Probe().fit(thinned(TRAIN)).trained) == thinned(TRAIN).paired.sum()
    assert len(Tolerant().fit(thinned(TRAIN)).trained) == len(TRAIN)
    only = OnlyP().fit(thinned(TRAIN)).trained
    assert len(only) == thinned(TRAIN).present["P"].sum()


def test_a_training_regime_masks_the_training_patients() -> None:
    lacking = (~Tolerant().fit(TRAIN, missing="P@0.5").trained.present["P"]).sum()
    assert lacking == sum(one < 0.5 for one in draws("P"))


def draws(modality: str) -> list[float]:
    """Draws of the training patients, by the rule of the design."""
    from hashlib import sha256

    words = [sha256(f"0/{modality}/{case}".encode()).digest()[:8] for case in TRAIN.case_id]
    return [int.from_bytes(word, "big") / 2**64 for word in words]


def test_a_patient_who_keeps_nothing_is_left_out_of_the_prediction() -> None:
    alone = TEST.absent({"G": np.arange(8) == 2})
    said = Tolerant().fit(TRAIN).predict(alone, missing="P")
    assert list(said.case_id) == [case for row, case in enumerate(TEST.case_id) if row != 2]


@pytest.mark.parametrize(("method", "patches"), [(FilledZero, 1), (FilledThree, 3)])
def test_zero_fill_is_zero_after_the_transforms(method: type[Probe], patches: int) -> None:
    probe = method().fit(TRAIN)
    probe.predict(TEST, missing="P")
    assert bags_of(probe.shown).present.all()
    np.testing.assert_array_equal(bags_of(probe.shown).bag(4), np.zeros((patches, 6)))
    probe.predict(TEST, missing="G")
    assert not genes_of(probe.shown).matrix().any()


def test_mean_fill_is_the_mean_of_the_training_patients() -> None:
    probe = FilledMean().fit(TRAIN)
    probe.predict(TEST, missing="G")
    mean = genes_of(probe.trained).matrix().mean(axis=0)
    np.testing.assert_allclose(genes_of(probe.shown).matrix()[5], mean, atol=1e-6)
    probe.predict(TEST, missing="P")
    assert bags_of(probe.shown).bag(0).shape == (1, 6)
    # standardised columns have mean 0 over the training patches; P is standardised here
    np.testing.assert_allclose(bags_of(probe.shown).bag(0), 0, atol=1e-5)


def test_another_rule_fills_what_a_fit_with_it_would() -> None:
    refilled, fitted = FilledZero().fit(TRAIN).refill("mean", TRAIN), FilledMean().fit(TRAIN)
    for probe in (refilled, fitted):
        probe.predict(TEST, missing="G")
    found, expected = (genes_of(probe.shown).matrix() for probe in (refilled, fitted))
    np.testing.assert_array_equal(found, expected)
    assert found.any()


def test_a_fit_that_used_its_rule_or_has_none_takes_no_other() -> None:
    used = FilledZero().fit(thinned(TRAIN))
    with pytest.raises(InputError, match="depends on the rule"):
        used.refill("mean", thinned(TRAIN))
    with pytest.raises(InputError, match="depends on the rule"):
        Tolerant().fit(TRAIN).refill("mean", TRAIN)


def test_only_a_cell_in_which_something_was_filled_is_marked() -> None:
    probe = FilledZero().fit(TRAIN)
    assert not probe.filled(TEST)
    assert probe.filled(TEST, missing="P")
    assert probe.filled(thinned(TEST))
    assert not Tolerant().fit(TRAIN).filled(TEST, missing="P")


def test_fill_leaves_patients_who_have_it_alone() -> None:
    probe = FilledZero().fit(TRAIN)
    lacks = np.arange(8) < 3
    probe.predict(TEST.absent({"P": lacks}))
    mixed = [bags_of(probe.shown).bag(row) for row in range(3, 8)]
    probe.predict(TEST)
    for row, bag in enumerate(mixed, start=3):
        np.testing.assert_array_equal(bag, bags_of(probe.shown).bag(row))


def test_an_unknown_fill_says_which_there_are() -> None:
    class Odd(Probe):
        fill = "median"

    with pytest.raises(InputError, match=r"'median'.*zero, zero:N.*mean"):
        Odd().fit(TRAIN)


# -- what is refused


def test_a_modality_the_cohort_lacks_is_an_input_error() -> None:
    class NeedsR(Probe):
        uses = frozenset({"R"})

    with pytest.raises(InputError, match=r"'R'.*P, G"):
        NeedsR().fit(TRAIN)


def test_predicting_before_fitting_is_an_input_error() -> None:
    with pytest.raises(InputError, match="call fit first"):
        Probe().predict(TEST)


def test_a_cohort_with_other_columns_is_an_input_error() -> None:
    probe = Probe().fit(TRAIN)
    bags = bags_of(TEST)
    narrow = replace(
        TEST, modalities={**TEST.modalities, "P": replace(bags, features=bags.features[:, :5])}
    )
    with pytest.raises(InputError, match="'P'"):
        probe.predict(narrow)


def test_training_without_a_death_is_an_input_error() -> None:
    censored = replace(TRAIN, cases=TRAIN.cases.assign(event=False))
    with pytest.raises(InputError, match="no training patient with an event"):
        Probe().fit(censored)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (Prediction(TEST.case_id, np.zeros(3)), "shape"),
        (Prediction(TEST.case_id, np.full(8, np.nan)), "not finite"),
        (
            Prediction(TEST.case_id, np.zeros(8), np.tile([0.5, 0.9], (8, 1)), np.arange(3.0)),
            "rises",
        ),
        (Prediction(TEST.case_id, np.zeros(8), np.full((8, 1), 1.5), np.arange(2.0)), "0 to 1"),
    ],
)
def test_a_prediction_that_breaks_the_contract_is_refused(said: Prediction, told: str) -> None:
    class Wrong(Probe):
        def predict_cases(self, cohort: Cohort) -> Prediction:
            return said

    with pytest.raises(SurvbenchError, match=told):
        Wrong().fit(TRAIN).predict(TEST)


# -- how it repeats, and how it is kept


def test_randomness_is_named_by_seed_method_and_fold() -> None:
    draw = Probe().fit(TRAIN).draw
    assert Probe().fit(TRAIN).draw == draw
    assert Probe(seed=1).fit(TRAIN).draw != draw
    assert Probe().fit(replace(TRAIN, fold=1)).draw != draw


def test_the_global_random_state_is_left_as_it_was() -> None:
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    expected = (np.random.normal(), torch.rand(1).item())  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    Probe().fit(TRAIN).predict(TEST)
    assert (np.random.normal(), torch.rand(1).item()) == expected  # noqa: NPY002


def test_a_saved_fit_comes_back_with_config_transforms_and_fill(tmp_path: Path) -> None:
    probe = FilledMean(ProbeConfig(width=9, kernels=(3,)), seed=4).fit(TRAIN)
    probe.save(tmp_path)
    loaded = FilledMean.load(tmp_path)
    assert loaded.config == probe.config
    assert (loaded.seed, loaded.fold) == (4, 0)
    for missing in ("none", "P", "G"):
        first, second = (one.predict(TEST, missing=missing) for one in (probe, loaded))
        np.testing.assert_array_equal(first.risk, second.risk)
        np.testing.assert_array_equal(
            genes_of(probe.shown).matrix(), genes_of(loaded.shown).matrix()
        )
        np.testing.assert_array_equal(bags_of(probe.shown).bag(0), bags_of(loaded.shown).bag(0))


def test_a_saved_fit_names_no_place_and_no_patient(tmp_path: Path) -> None:
    Probe().fit(TRAIN).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.json", "weights.safetensors"]
    text = (tmp_path / "fit.json").read_text()
    assert str(tmp_path) not in text
    assert not any(case in text for case in TRAIN.case_id)
    assert json.loads(text)["schema"] == 1


def test_a_fit_of_another_version_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    Probe().fit(TRAIN).save(tmp_path)

    class Newer(Probe):
        version = 2

    with pytest.raises(ResultError, match="version 1"):
        Newer.load(tmp_path)
    with pytest.raises(ResultError, match="cannot read"):
        Probe.load(tmp_path / "nowhere")
    (tmp_path / "weights.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ResultError, match="cannot read"):
        Probe.load(tmp_path)


def test_presets_are_configs_and_an_unnamed_one_is_the_default() -> None:
    assert Probe.preset("quick") == ProbeConfig(width=1)
    assert Probe.preset("standard") == ProbeConfig()


def test_nothing_happens_before_fit() -> None:
    probe = Probe(ProbeConfig(width=2), seed=3, device="nowhere")
    assert (probe.config.width, probe.seed, probe.device) == (2, 3, "nowhere")
