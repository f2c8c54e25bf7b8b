"""The promises every method must keep, one function each.

A promise takes a `Trial`, returns nothing when it is kept, raises `BrokenPromiseError` with the
reason when it is not, and `NotConcernedError` where it does not concern the method. None judges how
well a method predicts. The tests run them over the registry.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from survbench.check.compare import (
    check,
    concerns,
    content_of,
    everyone,
    near,
    same,
    same_state,
)
from survbench.check.sample import overwritten, planted, sample_cohort, thinned, with_outcome
from survbench.check.trial import (
    BrokenPromiseError,
    NotConcernedError,
    Trial,
    declared,
    gradients,
    owner,
    random_state,
    watched,
)
from survbench.cohort.cohort import COVARIATES, OUTCOME
from survbench.errors import MissingModalityError
from survbench.method import ALL, CONTRACT, Method
from survbench.streams import isolated

FINAL = ("fit", "predict", "save", "load", "filled", "stream", "modalities_used")
HEADINGS = ("Source:", "Missing modality:", "Departs:")


@dataclass(frozen=True)
class Outcome:
    """What came of one promise.

    Parameters
    ----------
    promise : str
        The promise in words.
    kept : bool or None
        None where it does not concern the method.
    reason : str
        Why it is broken, or why it does not concern the method.
    """

    promise: str
    kept: bool | None
    reason: str = ""


def examine(method: type[Method]) -> Iterator[Outcome]:
    """Outcome of every promise, one after the other."""
    trial = Trial(method)
    for promise in PROMISES:
        yield put_to_test(promise, trial)


def put_to_test(promise: Callable[[Trial], None], trial: Trial) -> Outcome:
    """Outcome of one promise; whatever the method raises is a broken promise."""
    words = in_words(promise)
    try:
        promise(trial)
    except NotConcernedError as reason:
        return Outcome(words, None, str(reason))
    except BrokenPromiseError as reason:
        return Outcome(words, kept=False, reason=str(reason))
    except Exception as error:
        return Outcome(words, kept=False, reason=f"{type(error).__name__}: {error}")
    return Outcome(words, kept=True)


def in_words(promise: Callable[[Trial], None]) -> str:
    """The promise as a sentence: the first line of its docstring."""
    return (promise.__doc__ or promise.__name__).strip().splitlines()[0]


# -- what it declares


def states_its_contract(trial: Trial) -> None:
    """It states the contract it was written for and leaves the suite's own methods alone."""
    check(trial.method.contract == CONTRACT, f"contract {trial.method.contract}, not {CONTRACT}")
    replaced = [name for name in FINAL if owner(trial.method, name) is not Method]
    check(not replaced, f"overrides {', '.join(replaced)}; write fit_cases and predict_cases")


def documents_itself(trial: Trial) -> None:
    """Its module says where it comes from, what it does without a modality, and how it departs."""
    text = sys.modules[trial.method.__module__].__doc__ or ""
    place = [text.find(f"\n{heading}") for heading in HEADINGS]
    lacking = [heading for heading, at in zip(HEADINGS, place, strict=True) if at < 0]
    check(not lacking, f"module docstring lacks {', '.join(lacking)}")
    check(place == sorted(place), f"module docstring must have {', '.join(HEADINGS)} in order")


def configures_by_frozen_dataclass(trial: Trial) -> None:
    """Its Config is a frozen dataclass of plain values, and its presets name fields of it."""
    config = trial.method.Config
    frozen = dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    check(frozen, f"Config {config.__name__} is not a frozen dataclass")
    for name in ("quick", "standard", "paper"):
        trial.method.preset(name)
    for entry in dataclasses.fields(config):
        value = getattr(config(), entry.name)
        plain = isinstance(value, bool | int | float | str | tuple | None)
        check(plain, f"Config.{entry.name} is a {type(value).__name__}, which JSON cannot keep")


def tolerates_only_what_it_uses(trial: Trial) -> None:
    """What it says may be absent is among what it uses."""
    method = trial.new()
    for word in ("tolerates", "trains_without"):
        extra = getattr(method, word) - method.uses
        free = method.uses == ALL or getattr(method, word) == ALL
        check(free or not extra, f"{word} names {sorted(extra)}, which uses does not")


# -- what it predicts


def predicts_everyone_in_order(trial: Trial) -> None:
    """Risk is finite, one per patient, in the cohort's order."""
    everyone(trial.fitted.predict(trial.test), trial.test)


def survival_falls_from_one(trial: Trial) -> None:
    """Survival is in [0, 1] and never rises; its edges start at 0 and rise."""
    said = trial.fitted.predict(trial.test)
    check((said.survival is None) == (said.edges is None), "survival and edges go together")
    concerns(said.survival is not None, "gives risk only")
    survival, edges = np.asarray(said.survival), np.asarray(said.edges)
    shape = (len(trial.test), len(edges) - 1)
    check(survival.shape == shape, f"survival is {survival.shape}, not {shape}")
    check(edges[0] == 0 and (np.diff(edges) > 0).all(), f"edges {edges} do not rise from 0")
    check(np.isfinite(edges[:-1]).all(), f"edges {edges}: only the last may be infinite")
    check((survival >= 0).all() and (survival <= 1).all(), "survival leaves [0, 1]")
    check((np.diff(survival, axis=1) <= 0).all(), "survival rises")


def ignores_order_and_company(trial: Trial) -> None:
    """A patient's risk does not depend on who else is predicted, or in which order."""
    for missing in trial.regimes:
        whole = trial.fitted.predict(trial.test, missing=missing)
        order = np.random.default_rng(0).permutation(len(trial.test))
        turned = trial.fitted.predict(trial.test.select(order), missing=missing)
        where = dict(zip(whole.case_id, whole.risk, strict=True))
        near(
            turned.risk,
            np.array([where[case] for case in turned.case_id]),
            f"order, missing {missing}",
        )
        for case in whole.case_id[[0, len(whole) // 2, -1]]:
            row = np.flatnonzero(trial.test.case_id == case)
            alone = trial.fitted.predict(trial.test.select(row), missing=missing)
            near(alone.risk, np.array([where[case]]), f"company, missing {missing}")


def reads_one_patch_bags(trial: Trial) -> None:
    """It fits and predicts bags of one patch."""
    method = trial.fit(sample_cohort(24, seed=4, longest=1))
    test = sample_cohort(6, seed=5, longest=1, fold=None)
    everyone(method.predict(test), test)


def bears_constant_columns(trial: Trial) -> None:
    """It fits and predicts a cohort in which no column varies."""
    everybody = np.ones(len(trial.train), bool)
    flat = overwritten(trial.train, 1.0, dict.fromkeys(trial.train.modalities, everybody))
    covariates = {name: flat.cases[name].iloc[0] for name in COVARIATES}
    flat = replace(flat, cases=flat.cases.assign(**covariates))
    everyone(trial.fit(flat).predict(trial.test), trial.test)


def bears_few_events(trial: Trial) -> None:
    """It fits a fold with two deaths, so that some interval has none."""
    time, event = trial.train.time, np.zeros(len(trial.train), bool)
    event[np.argsort(time)[[3, 9]]] = True
    everyone(trial.fit(with_outcome(trial.train, time, event)).predict(trial.test), trial.test)


def bears_a_third_modality(trial: Trial) -> None:
    """A cohort with a third modality is fitted and predicted, or the third is ignored."""
    train = sample_cohort(30, ("P", "G", "R"), seed=6)
    test = sample_cohort(8, ("P", "G", "R"), seed=7, fold=None)
    method = trial.fit(train)
    everyone(method.predict(test), test)
    if not declared(method.uses, "R") or declared(method.tolerates, "R") or method.fill:
        everyone(method.predict(test, missing="R"), test)


# -- what is missing


def predicts_under_declared_absence(trial: Trial) -> None:
    """Every absence it declares, it predicts, drawn or natural."""
    concerns(trial.bearable, "declares no absence")
    for missing in trial.regimes:
        everyone(trial.fitted.predict(trial.test, missing=missing), trial.test)
    if not trial.refused:
        natural = thinned(trial.test)
        everyone(trial.fitted.predict(natural), natural)


def trains_under_declared_absence(trial: Trial) -> None:
    """Every absence it declares for training, it trains under, drawn or natural."""
    method = trial.new()
    bearable = [
        name
        for name in trial.train.modalities
        if name not in trial.uses or method.fill or declared(method.trains_without, name)
    ]
    concerns(bearable, "declares no absence in training")
    for missing in (f"{name}@0.5" for name in bearable):
        everyone(trial.fit(missing=missing).predict(trial.test), trial.test)
    if set(bearable) == set(trial.train.modalities):
        everyone(trial.fit(thinned(trial.train)).predict(trial.test), trial.test)


def refuses_undeclared_absence(trial: Trial) -> None:
    """An absence it does not declare is refused, never filled in silence."""
    concerns(trial.refused, "every absence is declared or filled")
    for name in trial.refused:
        try:
            trial.fitted.predict(trial.test, missing=name)
        except MissingModalityError:
            refused = True
        else:
            refused = False
        check(refused, f"predicted without {name}, which it does not tolerate")


def never_reads_what_is_masked(trial: Trial) -> None:
    """NaN planted in what is masked in predict changes nothing, to the last bit."""
    for missing in trial.regimes[1:]:
        plain = trial.fitted.predict(trial.test, missing=missing)
        nan = trial.fitted.predict(planted(trial.test, missing), missing=missing)
        same(plain, nan, f"NaN masked by {missing}")


def never_learns_from_what_is_masked(trial: Trial) -> None:
    """NaN planted in what is masked in training leaves the fit bit-equal."""
    for missing in (f"{name}@0.5" for name in trial.train.modalities):
        plain, nan = trial.fit(missing=missing), trial.fit(planted(trial.train, missing), missing)
        same_state(plain, nan, f"NaN masked by {missing}")


def never_reads_what_it_does_not_use(trial: Trial) -> None:
    """Modalities and covariates it does not declare change nothing."""
    method = trial.new()
    unused = {name: np.ones(len(trial.test), bool) for name in trial.test.modalities}
    for name in trial.uses:
        del unused[name]
    changed = overwritten(trial.test, float("nan"), unused)
    hidden = {name: "?" for name in COVARIATES if name not in method.uses}
    changed = replace(changed, cases=changed.cases.assign(**hidden))
    same(trial.fitted.predict(trial.test), trial.fitted.predict(changed), "what it does not use")


# -- what it must not know


def learns_nothing_from_test_patients(trial: Trial) -> None:
    """Other features and outcomes of test patients leave the fit bit-equal."""
    whole = sample_cohort(40, seed=8)
    test = np.arange(40) % 4 == 0
    other = overwritten(whole, 99.0, dict.fromkeys(whole.modalities, test))
    time = np.where(test, 500.0, whole.time)
    other = with_outcome(other, time, np.where(test, ~whole.event, whole.event))
    fit, again = (trial.fit(cohort.select(~test)) for cohort in (whole, other))
    same_state(fit, again, "test patients")


def predicts_without_outcome(trial: Trial) -> None:
    """The outcome of the patients it predicts changes nothing."""
    other = with_outcome(trial.test, trial.test.time[::-1] + 7, ~trial.test.event)
    same(trial.fitted.predict(trial.test), trial.fitted.predict(other), "the outcome")


def sees_opaque_ids_alone(trial: Trial) -> None:
    """It sees no case id, no undeclared covariate, and in predict no outcome and no fold."""
    spy, seen = watched(trial)
    spy.fit(trial.train).predict(trial.test)
    allowed = {name for name in COVARIATES if name in spy.uses}
    for cohort, real, extra in ((seen[0], trial.train, OUTCOME), (seen[-1], trial.test, ())):
        check(set(cohort.cases) <= allowed | set(extra), f"saw columns {list(cohort.cases)}")
        check(not set(cohort.case_id) & set(real.case_id), "saw a real case id")
    check(seen[-1].fold is None, "predict saw the fold")


# -- how it repeats


def repeats_itself(trial: Trial) -> None:
    """The same seed gives the same fit and the same predictions, bit for bit."""
    again = trial.fit()
    same_state(trial.fitted, again, "a second fit")
    for missing in trial.regimes:
        first = trial.fitted.predict(trial.test, missing=missing)
        same(first, trial.fitted.predict(trial.test, missing=missing), "predicting twice")
        same(first, again.predict(trial.test, missing=missing), "a second fit")


def saves_and_loads(trial: Trial) -> None:
    """A fit read back from disk predicts the same, bit for bit."""
    concerns(trial.method.saves, "does not save")
    with tempfile.TemporaryDirectory() as folder:
        trial.fitted.save(folder)
        loaded = trial.method.load(folder)
    check(loaded.config == trial.fitted.config, f"config came back as {loaded.config}")
    same_state(trial.fitted, loaded, "loading")
    for missing in trial.regimes:
        first = trial.fitted.predict(trial.test, missing=missing)
        same(first, loaded.predict(trial.test, missing=missing), f"loading, missing {missing}")


def leaves_global_randomness_alone(trial: Trial) -> None:
    """It neither moves the global random state nor depends on it."""
    fits, said = [], []
    for seed in (1, 2):
        with isolated(seed):
            before = random_state()
            fits.append(trial.fit())
            said.append(fits[-1].predict(trial.test))
            check(before == random_state(), "the global random state moved")
    same_state(fits[0], fits[1], "the global random state")
    same(said[0], said[1], "the global random state")


def changes_no_input(trial: Trial) -> None:
    """The cohorts it is given are the same afterwards."""
    cohorts = sample_cohort(36, seed=1), sample_cohort(12, seed=2, fold=None)
    before = [content_of(cohort) for cohort in cohorts]
    trial.fit(cohorts[0]).predict(cohorts[1])
    check(before == [content_of(cohort) for cohort in cohorts], "changed a cohort")


def computes_patients_together_as_singly(trial: Trial) -> None:
    """One optimiser step has the same gradient, its patients computed together or singly."""
    from survbench.learn import NeuralMethod  # noqa: PLC0415  (torch only where needed)

    reason = trial.method.needs_others
    concerns(not reason, f"a patient needs others: {reason}")
    spy, seen = watched(trial)
    if not isinstance(spy, NeuralMethod):
        concerns(False, "is not a neural method")
        return
    spy.fit(trial.train)
    for stage, together, singly in gradients(spy, seen[0]):
        for name, gradient in together.items():
            near(gradient, singly[name], f"stage {stage}, {name}")


PROMISES: tuple[Callable[[Trial], None], ...] = (
    states_its_contract,
    documents_itself,
    configures_by_frozen_dataclass,
    tolerates_only_what_it_uses,
    predicts_everyone_in_order,
    survival_falls_from_one,
    ignores_order_and_company,
    reads_one_patch_bags,
    bears_constant_columns,
    bears_few_events,
    bears_a_third_modality,
    predicts_under_declared_absence,
    trains_under_declared_absence,
    refuses_undeclared_absence,
    never_reads_what_is_masked,
    never_learns_from_what_is_masked,
    never_reads_what_it_does_not_use,
    learns_nothing_from_test_patients,
    predicts_without_outcome,
    sees_opaque_ids_alone,
    repeats_itself,
    saves_and_loads,
    leaves_global_randomness_alone,
    changes_no_input,
    computes_patients_together_as_singly,
)
