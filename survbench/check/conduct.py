"""Promises about how a method repeats itself and what it leaves alone."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from survbench.bookmark import Bookmark
from survbench.check.compare import check, concerns, content_of, near, same, same_state
from survbench.check.surroundings import changed_settings, writes
from survbench.check.trial import Trial, gradients, watched
from survbench.method import Progress
from survbench.streams import isolated, random_states


def repeats_itself(trial: Trial) -> None:
    """The same seed gives the same fit and the same predictions, bit for bit."""
    with isolated(1):  # another global random state than the first fit had
        again = trial.fit()
    same_state(trial.fitted, again, "a second fit")
    for missing in trial.regimes:
        first = trial.fitted.predict(trial.test, missing=missing)
        same(first, trial.fitted.predict(trial.test, missing=missing), "predicting twice")
        same(first, again.predict(trial.test, missing=missing), "a second fit")


def goes_on_where_it_was_killed(trial: Trial) -> None:
    """A fit that was killed goes on from its bookmark and ends as if it never was."""
    concerns(trial.method.resumes, "a killed fit begins anew")
    config = replace(trial.new().config, epochs=3)
    whole, killed, again = (trial.method(config, seed=3) for _ in range(3))
    told: list[Progress] = []

    def die(progress: Progress) -> None:
        if progress.done > 1:
            raise InterruptedError

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "fit.pt")
        killed.bookmark, again.bookmark = (Bookmark(file, "", every=0) for _ in range(2))
        killed.report, again.report = die, told.append
        with suppress(InterruptedError):
            killed.fit(trial.train)
        check(file.is_file(), "keeps no bookmark: only a fit of one stage has any")
        with isolated(1):
            again.fit(trial.train)
    check(told[0].done == 2, "begins anew although there is a bookmark")
    whole.fit(trial.train)
    check(again.record == whole.record, "going on changes the record of the fit")
    same_state(whole, again, "going on")


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
    """It leaves the global random state as it was."""
    with isolated(1):
        before = random_states()
        trial.fit().predict(trial.test)
        check(before == random_states(), "the global random state moved")


def leaves_settings_alone(trial: Trial) -> None:
    """It leaves the settings of the process alone: threads, number type, gradients, folder."""
    with changed_settings() as changed:
        trial.fit().predict(trial.test)
    check(not changed, f"changed {', '.join(changed)}")


def writes_nothing_elsewhere(trial: Trial) -> None:
    """It writes, moves and deletes nothing but in the folder that `save` is given."""
    trial.fitted.predict(trial.test)  # whatever is imported late is imported now
    with tempfile.TemporaryDirectory() as folder:
        with writes() as written:
            method = trial.fit()
            method.predict(trial.test)
            if method.saves:
                method.save(folder)
                trial.method.load(folder)
        own = Path(folder).resolve()
        elsewhere = [path.name for path in written if not path.is_relative_to(own)]
    check(not elsewhere, f"wrote {', '.join(elsewhere)}")


def changes_no_input(trial: Trial) -> None:
    """The cohorts it is given are the same afterwards."""
    cohorts = trial.train, trial.test
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
