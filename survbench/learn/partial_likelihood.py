"""Cox's partial likelihood under a ridge, maximised by Newton's method.

Cox (1972) with Breslow's ties: l(w) - penalty / 2 |w|^2, so that `penalty` is the `alpha` of
scikit-survival's CoxPHSurvivalAnalysis. That sums an outer product per patient; here the sums over
risk sets are cumulative sums and matrix products, some twenty times as fast on a few hundred
patients and components, which hundreds of permuted fits need.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEPS = 100  # at most; a handful is what it takes
_DONE = 1e-12  # what a further step would gain, relative to the loss
_HALVINGS = 40


class PartialLikelihood:
    """The partial likelihood of N patients with C columns.

    Parameters
    ----------
    x : array (N, C)
        Columns.
    time, event : array (N,)
        Follow-up and whether death was seen; somebody must have died.
    """

    def __init__(self, x: Array, time: Array, event: Mask) -> None:
        order = np.argsort(-time, kind="stable")  # those at risk at a time are the first so many
        self.x, later = x[order], -time[order]
        self.times, self.deaths = np.unique(time[event], return_counts=True)
        self.at_risk = np.searchsorted(later, -self.times, side="right")
        # at how many of the times a patient is still at risk
        self.followed = np.searchsorted(self.times, -later, side="right")
        self.dead = x[event].sum(axis=0)

    def loss(self, weight: Array, penalty: float) -> float:
        """Minus the penalised log likelihood."""
        total = np.logaddexp.accumulate(self.x @ weight)[self.at_risk - 1]
        return float(self.deaths @ total - self.dead @ weight + penalty / 2 * weight @ weight)

    def derivatives(self, weight: Array, penalty: float) -> tuple[Array, Array]:
        """Gradient (C,) and Hessian (C, C) of the loss."""
        ratio = self.x @ weight
        risk = np.exp(ratio - ratio.max())
        total = np.cumsum(risk)[self.at_risk - 1]
        mean = np.cumsum(risk[:, None] * self.x, axis=0)[self.at_risk - 1] / total[:, None]
        gradient = self.deaths @ mean - self.dead + penalty * weight
        hazard = np.concatenate([[0.0], np.cumsum(self.deaths / total)])[self.followed]
        hessian = self.x.T @ ((risk * hazard)[:, None] * self.x)
        hessian -= mean.T @ (self.deaths[:, None] * mean)
        hessian[np.diag_indices_from(hessian)] += penalty
        return gradient, hessian

    def maximum(self, penalty: float, start: Array | None = None) -> Array:
        """Weight (C,) where the penalised likelihood is largest, looked for from `start`.

        Warns with scikit-learn's ConvergenceWarning where it is not found in `STEPS` steps.
        """
        weight = np.zeros(self.x.shape[1]) if start is None else start
        loss = self.loss(weight, penalty)
        for _ in range(STEPS):
            gradient, hessian = self.derivatives(weight, penalty)
            step = np.linalg.solve(hessian, gradient)
            if gradient @ step <= _DONE * max(1.0, abs(loss)):
                return weight - step
            for _ in range(_HALVINGS):
                further = self.loss(weight - step, penalty)
                if further < loss:
                    break
                step = step / 2
            weight, loss = weight - step, further
        warnings.warn("the partial likelihood has not converged", ConvergenceWarning, stacklevel=2)
        return weight
