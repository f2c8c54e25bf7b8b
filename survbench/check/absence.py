"""Promises about missing modalities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from survbench.check.compare import check, concerns, everyone, same, same_state
from survbench.check.sample import overwritten, planted, thinned
from survbench.check.trial import Trial, declared
from survbench.cohort.cohort import COVARIATES
from survbench.errors import MissingModalityError


def predicts_under_declared_absence(trial: Trial) -> None:
    """Every absence it declares, it predicts, drawn or natural."""
    concerns(trial.bearable, "declares no absence")
    for missing in trial.promised:
        everyone(trial.fitted.predict(trial.test, missing=missing), trial.test)
    if not trial.refused:
        natural = thinned(trial.test)
        everyone(trial.fitted.predict(natural), natural)


def trains_under_declared_absence(trial: Trial) -> None:
    """Every absence it declares for training, it trains under, drawn or natural."""
    method = trial.new()
    bearable = [
        name
        for name in trial.names
        if name not in trial.uses or method.fill or declared(method.trains_without, name)
    ]
    concerns(bearable, "declares no absence in training")
    for missing in (f"{name}@0.5" for name in bearable):
        everyone(trial.fit(missing=missing).predict(trial.test), trial.test)
    if set(bearable) == set(trial.names):
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
    for missing in (f"{name}@0.5" for name in trial.names):
        try:
            plain = trial.fit(missing=missing)
        except Exception:  # that it cannot train so is the matter of another promise
            continue
        nan = trial.fit(planted(trial.train, missing), missing)
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
