"""The promises that survbench asks of every method."""

import pytest

from survbench import get_method
from survbench.check import PROMISES, Promise, Trial, put_to_test

TRIAL = Trial(get_method("meanpair"))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_promise(promise: Promise) -> None:
    outcome = put_to_test(promise, TRIAL)
    assert outcome.kept is not False, outcome.reason
