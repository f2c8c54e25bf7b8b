"""The promises every method must keep, and what comes of putting a method to the test.

A promise takes a `Trial`, returns nothing when it is kept, raises `BrokenPromiseError` with the
reason when it is not, and `NotConcernedError` where it does not concern the method. Only one of
them judges how well a method predicts, and asks for little more than chance. The tests run them
over the registry, `survbench check` over one method.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from survbench.check.absence import (
    never_learns_from_what_is_masked,
    never_reads_what_is_masked,
    never_reads_what_it_does_not_use,
    predicts_under_declared_absence,
    refuses_undeclared_absence,
    trains_under_declared_absence,
)
from survbench.check.conduct import (
    changes_no_input,
    computes_patients_together_as_singly,
    goes_on_where_it_was_killed,
    leaves_global_randomness_alone,
    leaves_settings_alone,
    repeats_itself,
    saves_and_loads,
    writes_nothing_elsewhere,
)
from survbench.check.declarations import (
    configures_by_frozen_dataclass,
    documents_itself,
    states_its_contract,
    tolerates_only_what_it_uses,
)
from survbench.check.predictions import (
    bears_a_third_modality,
    bears_constant_columns,
    bears_few_events,
    ignores_order_and_company,
    keeps_diagnostics_in_columns_of_their_own,
    predicts_everyone_in_order,
    reads_huge_bags,
    reads_one_patch_bags,
    recovers_known_signal,
    survival_falls_from_one,
)
from survbench.check.secrecy import (
    learns_nothing_from_test_patients,
    predicts_without_outcome,
    sees_opaque_ids_alone,
)
from survbench.check.surroundings import changed_settings
from survbench.check.trial import BrokenPromiseError, NotConcernedError, Trial
from survbench.method import Method

Promise = Callable[[Trial], None]

DECLARATIONS: tuple[Promise, ...] = (
    states_its_contract,
    documents_itself,
    configures_by_frozen_dataclass,
    tolerates_only_what_it_uses,
)
PROMISES: tuple[Promise, ...] = (
    *DECLARATIONS,
    predicts_everyone_in_order,
    repeats_itself,
    survival_falls_from_one,
    keeps_diagnostics_in_columns_of_their_own,
    ignores_order_and_company,
    reads_one_patch_bags,
    reads_huge_bags,
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
    saves_and_loads,
    goes_on_where_it_was_killed,
    leaves_global_randomness_alone,
    leaves_settings_alone,
    writes_nothing_elsewhere,
    changes_no_input,
    computes_patients_together_as_singly,
    recovers_known_signal,
)
COMPARING = frozenset(  # two fits or predictions, of which one thing alone may differ
    {
        ignores_order_and_company,
        never_reads_what_is_masked,
        never_learns_from_what_is_masked,
        never_reads_what_it_does_not_use,
        learns_nothing_from_test_patients,
        predicts_without_outcome,
        goes_on_where_it_was_killed,
        saves_and_loads,
    }
)
SLOW = frozenset({reads_huge_bags, recovers_known_signal})  # the others take seconds


@dataclass(frozen=True)
class Outcome:
    """What came of one promise.

    Parameters
    ----------
    promise : str
        The promise in words.
    kept : bool or None
        None where it does not concern the method, or was not tried.
    reason : str
        Why it is broken, does not concern the method or was not tried.
    tried : bool
        Whether it was tried at all.
    """

    promise: str
    kept: bool | None
    reason: str = ""
    tried: bool = True

    @property
    def verdict(self) -> str:
        """One of ok, BROKEN, not applicable, not tried."""
        if not self.tried:
            return "not tried"
        return {True: "ok", False: "BROKEN", None: "not applicable"}[self.kept]


def examine(method: type[Method], *, quick: bool = False) -> Iterator[Outcome]:
    """Outcome of every promise, one after the other; `quick` leaves the slow ones out.

    What cannot be told because another promise is broken is not tried, so that one mistake is told
    once: all of it where a method cannot fit and predict ordinary patients, comparisons where it
    does not repeat itself.
    """
    trial, untold = Trial(method), dict[Promise, str]()
    if quick:
        untold |= dict.fromkeys(SLOW, "it takes long")
    for promise in PROMISES:
        if promise in untold:
            yield Outcome(in_words(promise), None, untold[promise], tried=False)
            continue
        outcome = put_to_test(promise, trial)
        yield outcome
        if promise is predicts_everyone_in_order and not outcome.kept:
            untold |= dict.fromkeys(PROMISES, "it cannot fit and predict ordinary patients")
        elif promise is repeats_itself and not outcome.kept:
            untold |= dict.fromkeys(COMPARING, "it does not repeat itself")


def put_to_test(promise: Promise, trial: Trial) -> Outcome:
    """Outcome of one promise; whatever the method raises is a broken promise."""
    words = in_words(promise)
    try:
        with changed_settings():  # set back, so that the next promise finds them as they were
            promise(trial)
    except NotConcernedError as reason:
        return Outcome(words, None, str(reason))
    except BrokenPromiseError as reason:
        return Outcome(words, kept=False, reason=str(reason))
    except (Exception, SystemExit) as error:
        return Outcome(words, kept=False, reason=_told(error))
    return Outcome(words, kept=True)


def in_words(promise: Promise) -> str:
    """The promise as a sentence: the first line of its docstring."""
    return (promise.__doc__ or promise.__name__).strip().splitlines()[0]


def _told(error: BaseException) -> str:
    """Kind, message and place of an error, on one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message} ({Path(last.filename).name}, line {last.lineno})"
