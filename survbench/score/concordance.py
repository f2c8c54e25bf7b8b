"""Harrell's C-index of a fold, and the pairs of patients it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survbench.score.predictions import Array, Mask, Score

TIED_TOL = 1e-8  # risks no further apart than this are tied and count half

NO_PAIR = "no comparable pair of patients"


@dataclass(frozen=True, eq=False)
class Pairs:
    """Comparable pairs of a fold: who died earlier, and who is known to have outlived them.

    Parameters
    ----------
    earlier, later : array (M,)
        Positions of the two patients in the fold.
    """

    earlier: NDArray[np.intp]
    later: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.earlier)

    def credit(self, risk: Array) -> Array:
        """Credit (M,) of risks (N,): 1 where the earlier death has the higher, 0.5 where tied."""
        return credit(risk[self.earlier] - risk[self.later])


def credit(difference: Array) -> Array:
    """Credit of risks of the earlier death minus risks of the other: 1, 0, or 0.5 where tied."""
    return np.where(np.abs(difference) <= TIED_TOL, 0.5, (difference > 0).astype(np.float64))


def comparable_pairs(time: Array, event: Mask) -> Pairs:
    """Pairs that can be ranked: a death, and anybody later or censored at the same time.

    Two deaths at the same time cannot be ranked. So a patient drawn twice by the bootstrap makes
    no pair with themselves, and a resample needs weights only, no new pairs.
    """
    outlives = (time[:, None] < time) | ((time[:, None] == time) & ~event)  # (N, N)
    return Pairs(*np.nonzero(event[:, None] & outlives))


def harrell(time: Array, event: Mask, risk: Array) -> Score:
    """Harrell's C-index of one fold by scikit-survival; NaN without a comparable pair."""
    if not np.isfinite(risk).all():
        return Score.none("a risk is not finite")
    if not len(comparable_pairs(time, event)):
        return Score.none(NO_PAIR)
    from sksurv.metrics import concordance_index_censored  # noqa: PLC0415  (slow to import)

    return Score(float(concordance_index_censored(event, time, risk, tied_tol=TIED_TOL)[0]))
