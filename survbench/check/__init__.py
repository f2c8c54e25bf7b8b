"""The promises every method must keep, and the small cohorts they are tried on."""

from survbench.check.promises import (
    PROMISES,
    SLOW,
    Outcome,
    Promise,
    examine,
    in_words,
    put_to_test,
)
from survbench.check.sample import sample_cohort
from survbench.check.trial import BrokenPromiseError, NotConcernedError, Trial

__all__ = [
    "PROMISES",
    "SLOW",
    "BrokenPromiseError",
    "NotConcernedError",
    "Outcome",
    "Promise",
    "Trial",
    "examine",
    "in_words",
    "put_to_test",
    "sample_cohort",
]
