"""Promises about what a method must not know."""

from __future__ import annotations

import numpy as np

from survbench.check.compare import check, same, same_state
from survbench.check.sample import overwritten, sample_cohort, with_outcome
from survbench.check.trial import Trial, watched
from survbench.cohort.cohort import COVARIATES, OUTCOME


def learns_nothing_from_test_patients(trial: Trial) -> None:
    """Other features and outcomes of test patients leave the fit bit-equal."""
    whole = sample_cohort(40, trial.names, seed=8)
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
