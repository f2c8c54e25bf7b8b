"""The partial likelihood: by hand, by differences, and maximised as scikit-survival does."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from survbench.learn import partial_likelihood
from survbench.learn.partial_likelihood import PartialLikelihood

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def patients(count: int, width: int, seed: int = 0) -> tuple[Array, Array, Mask]:
    """Columns, whole months with many ties, and events."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, width))
    death = np.ceil(draw.exponential(9 * np.exp(-x[:, 0])))
    leaves = np.ceil(draw.exponential(12, count))
    return x, np.minimum(death, leaves), death <= leaves


def test_the_loss_of_three_patients_with_a_tie_is_the_sum_written_out() -> None:
    # Deaths at 1 (x = 1, all at risk) and twice at 2 (x = 0 and 3, these two at risk), w = log 2:
    # -l = log(2 + 1 + 8) - log 2 + 2 log(1 + 8) - log 1 - 3 log 2; penalty 6: + 3 (log 2)^2.
    x = np.array([[1.0], [0.0], [3.0]])
    found = PartialLikelihood(x, np.array([1.0, 2.0, 2.0]), np.ones(3, bool))
    weight = np.array([np.log(2)])
    wanted = np.log(11) + 2 * np.log(9) - 4 * np.log(2) + 3 * np.log(2) ** 2
    assert found.loss(weight, 6.0) == pytest.approx(wanted, abs=1e-12)


def test_derivatives_are_those_of_the_loss() -> None:
    x, time, event = patients(40, 3)
    found, weight = PartialLikelihood(x, time, event), np.array([0.4, -0.2, 0.1])
    gradient, hessian = found.derivatives(weight, 0.7)
    for column in range(3):
        shift = 1e-5 * np.eye(3)[column]
        ahead, back = weight + shift, weight - shift
        slope = (found.loss(ahead, 0.7) - found.loss(back, 0.7)) / 2e-5
        assert gradient[column] == pytest.approx(slope, abs=1e-6)
        bend = (found.derivatives(ahead, 0.7)[0] - found.derivatives(back, 0.7)[0]) / 2e-5
        np.testing.assert_allclose(hessian[column], bend, atol=1e-6)


@pytest.mark.parametrize(("count", "width"), [(200, 5), (60, 90)])
@pytest.mark.parametrize("penalty", [0.05, 1.0, 300.0])
def test_the_maximum_is_that_of_scikit_survival(count: int, width: int, penalty: float) -> None:
    x, time, event = patients(count, width)
    reference = CoxPHSurvivalAnalysis(alpha=penalty, ties="breslow", tol=1e-14, n_iter=500)
    with np.errstate(over="ignore"):  # in its baseline
        wanted = reference.fit(x, Surv.from_arrays(event, time)).coef_
    found = PartialLikelihood(x, time, event)
    np.testing.assert_allclose(found.maximum(penalty), wanted, atol=1e-8)
    far = np.full(width, 2.0)
    np.testing.assert_allclose(found.maximum(penalty, far), wanted, atol=1e-8)


def test_a_step_that_leads_too_far_is_cut_down() -> None:
    # One column in thousands: from 0.01 the likelihood is flat, and the whole step leaves its hill.
    x, time, event = patients(30, 1)
    found, start = PartialLikelihood(1e3 * x, time, event), np.array([0.01])
    gradient, hessian = found.derivatives(start, 1.0)
    whole = start - np.linalg.solve(hessian, gradient)
    assert found.loss(whole, 1.0) > found.loss(start, 1.0)
    np.testing.assert_allclose(found.maximum(1.0, start), found.maximum(1.0), atol=1e-8)


def test_too_few_steps_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_likelihood, "STEPS", 1)
    x, time, event = patients(30, 2)
    with pytest.warns(ConvergenceWarning, match="not converged"):
        PartialLikelihood(x, time, event).maximum(0.05)
