"""Promises about what a method predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from survbench.check.compare import check, concerns, everyone, near
from survbench.check.sample import enlarged, overwritten, sample_cohort, with_outcome
from survbench.check.surroundings import memory_limit
from survbench.check.trial import Trial, declared
from survbench.cohort import Bags
from survbench.cohort.cohort import COVARIATES, OUTCOME
from survbench.cohort.demo import simulate
from survbench.score.concordance import harrell

HUGE = 50_000  # patches of a bag; the largest slides have about as many
MEMORY = 8.0  # GiB that such a bag may cost; a table of 50,000 x 50,000 numbers takes 9.3
CHANCE = 0.5
LEARNT = 0.55  # C-index on 300 new patients, where chance has a standard error of 0.02


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


def keeps_diagnostics_in_columns_of_their_own(trial: Trial) -> None:
    """Its diagnostics are one number per patient, under names no other column has."""
    said = [trial.fitted.predict(trial.test, missing=missing) for missing in trial.regimes]
    concerns(any(one.diagnostics for one in said), "keeps no diagnostics")
    for one in said:
        for name, column in one.diagnostics.items():
            taken = name in ("case_id", "risk", *OUTCOME) or name.startswith(("survival_", "has_"))
            check(not taken, f"diagnostic {name!r} has the name of another column")
            shape = np.shape(column)
            check(shape == (len(one),), f"diagnostic {name!r} is {shape}, not ({len(one)},)")


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
    method = trial.fit(sample_cohort(24, trial.names, seed=4, longest=1))
    test = sample_cohort(6, trial.names, seed=5, longest=1, fold=None)
    everyone(method.predict(test), test)


def reads_huge_bags(trial: Trial) -> None:
    """It fits and predicts a bag of 50,000 patches within 8 GiB."""
    bags = [name for name in trial.uses if isinstance(trial.test.modalities[name], Bags)]
    concerns(bags, "reads no bags")
    with memory_limit(MEMORY):
        method = trial.fit(enlarged(trial.train, HUGE))
        test = enlarged(trial.test, HUGE)
        everyone(method.predict(test), test)


def bears_constant_columns(trial: Trial) -> None:
    """It fits and predicts a cohort in which no column varies."""
    everybody = np.ones(len(trial.train), bool)
    flat = overwritten(trial.train, 1.0, dict.fromkeys(trial.names, everybody))
    covariates = {name: flat.cases[name].iloc[0] for name in COVARIATES}
    flat = replace(flat, cases=flat.cases.assign(**covariates))
    everyone(trial.fit(flat).predict(trial.test), trial.test)


def bears_few_events(trial: Trial) -> None:
    """It fits a fold with two deaths, so that some interval has none."""
    time, event = trial.train.time, np.zeros(len(trial.train), bool)
    event[np.argsort(time)[[3, 9]]] = True
    everyone(trial.fit(with_outcome(trial.train, time, event)).predict(trial.test), trial.test)


def bears_a_third_modality(trial: Trial) -> None:
    """A cohort with one more modality is fitted and predicted, or that one is ignored."""
    more = "R" if "R" not in trial.names else "X"
    train = sample_cohort(30, (*trial.names, more), seed=6)
    test = sample_cohort(8, (*trial.names, more), seed=7, fold=None)
    method = trial.fit(train)
    everyone(method.predict(test), test)
    if not declared(method.uses, more) or declared(method.tolerates, more) or method.fill:
        everyone(method.predict(test, missing=more), test)


def recovers_known_signal(trial: Trial) -> None:
    """Fitted on the cohort `demo`, it ranks new patients of the same kind better than chance."""
    train = replace(simulate("demo"), fold=0)
    test = simulate("demo", n=300, seed=1, patches=(20, 60))
    concerns(trial.uses, "reads no modality")
    concerns(set(trial.uses) <= set(train.modalities), "reads more than `demo` has")
    method = trial.method(trial.method.preset("quick"), seed=3).fit(train)
    found = harrell(test.time, test.event, method.predict(test).risk).value
    why = "higher risk must mean earlier death" if found < CHANCE else f"{CHANCE} is chance"
    check(found >= LEARNT, f"C-index {found:.3f}, not {LEARNT} or more; {why}")
