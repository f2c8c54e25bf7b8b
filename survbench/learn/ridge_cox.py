"""Ridge Cox regression on blocks of columns: what the non-neural floors share.

All float64 and deterministic; `penalty` is that of `PartialLikelihood`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sksurv.exceptions import NoComparablePairException
from sksurv.linear_model.coxph import BreslowEstimator
from sksurv.metrics import concordance_index_censored

from survbench.cohort import Bags, Cohort, GeneGroups
from survbench.errors import InputError
from survbench.learn.partial_likelihood import PartialLikelihood

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

PENALTIES = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)  # strongest first: ties go to it
INNER_FOLDS = 3
LAST_QUANTILE = 0.75  # survival is given while enough patients are still followed
_FLAT = 1e-6  # a column whose deviation is below this share of its mean is constant
_LEAST_SLOPE = 0.05  # of held-out risks in units of their deviation
_STEEPEST = 50.0  # |log hazard ratio| beyond which exp() would leave float64


@dataclass(frozen=True)
class RidgeCox:
    """A fitted model: log hazard ratio = sum over blocks of (x - centre) @ weight.

    Parameters
    ----------
    centre, weight : mapping of block to array (C,)
        The training mean of each column and its coefficient; an absent block adds nothing.
    edges : array (K + 1,)
        0 and the finite times at which survival is given.
    baseline : array (K,)
        Breslow's cumulative baseline hazard at edges[1:].
    penalty : float
        The penalty chosen on inner folds of the training patients.
    """

    centre: Mapping[str, Array]
    weight: Mapping[str, Array]
    edges: Array
    baseline: Array
    penalty: float

    def risk(self, blocks: Mapping[str, Array]) -> Array:
        """Log hazard ratio (N,) against the training mean; a row of NaN is an absent block."""
        parts = []
        for name in sorted(self.centre):  # one order of summation, also after loading
            # The product is summed row by row, so that no patient depends on the others.
            part = ((blocks[name] - self.centre[name]) * self.weight[name]).sum(axis=1)
            parts.append(np.where(_present(blocks[name]), part, 0.0))
        return np.asarray(np.sum(parts, axis=0))

    def survival(self, risk: Array) -> Array:
        """Survival (N, K) at edges[1:]: exp(-baseline * exp(risk))."""
        ratio = np.exp(np.clip(risk, -_STEEPEST, _STEEPEST))
        return np.asarray(np.exp(-ratio[:, None] * self.baseline))

    def state(self, prefix: str = "") -> dict[str, Array]:
        """Named arrays that `restore` reads back."""
        arrays = {f"{prefix}centre/{name}": value for name, value in self.centre.items()}
        arrays |= {f"{prefix}weight/{name}": value for name, value in self.weight.items()}
        arrays |= {f"{prefix}edges": self.edges, f"{prefix}baseline": self.baseline}
        return arrays | {f"{prefix}penalty": np.array([self.penalty])}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[np.generic]], prefix: str = "") -> RidgeCox:
        """The model whose `state(prefix)` is among `arrays`."""

        def under(part: str) -> dict[str, Array]:
            start = f"{prefix}{part}/"
            return {
                name.removeprefix(start): np.asarray(value, np.float64)
                for name, value in arrays.items()
                if name.startswith(start)
            }

        edges, baseline, penalty = (
            np.asarray(arrays[f"{prefix}{part}"], np.float64)
            for part in ("edges", "baseline", "penalty")
        )
        return cls(under("centre"), under("weight"), edges, baseline, float(penalty[0]))


def block_of(cohort: Cohort, name: str) -> Array:
    """Columns (N, C) of one modality: mean patch, or genes of any group; NaN rows are absent."""
    modality = cohort.modalities[name]
    present = np.flatnonzero(modality.present)
    if isinstance(modality, Bags):
        block = np.full((len(modality), modality.width), np.nan)
        for row in present:  # one bag at a time: a cohort's patches may not fit into memory
            block[row] = modality.bag(int(row)).mean(axis=0, dtype=np.float64)
        return block
    if isinstance(modality, GeneGroups):
        column = np.unique(np.concatenate([*modality.groups.values()]))
        block = np.full((len(modality), len(column)), np.nan)
        block[present] = modality.matrix(present)[:, column]
        return block
    msg = f"modality {name!r} is a {type(modality).__name__}; ridge Cox reads Bags and GeneGroups"
    raise InputError(msg)


def fit_components(
    blocks: Mapping[str, Array], time: Array, event: Mask, *, most: int, edges: Array | None = None
) -> RidgeCox:
    """Ridge Cox on the principal components of each block.

    Columns are standardised, absent rows left out of means and components, and each block brought
    to a total variance of 1, so that a block does not win by its number of columns.

    Parameters
    ----------
    blocks : mapping of name to array (N, C)
        A row of NaN is an absent block and sits at the block's mean.
    time, event : array (N,)
        Follow-up in months and whether death was seen.
    most : int
        Largest number of components of a block.
    edges : array (K + 1,) or None
        Times for survival; `time_grid(time, event)` when None.
    """
    projections = {name: _components(block, most) for name, block in blocks.items()}
    return _fit(blocks, projections, time, event, edges)


def fit_columns(
    blocks: Mapping[str, Array], time: Array, event: Mask, *, edges: Array | None = None
) -> RidgeCox:
    """Ridge Cox on the columns as they are, centred; for a handful of covariates."""
    projections = {
        name: (_mean(block), np.eye(block.shape[1], dtype=np.float64))
        for name, block in blocks.items()
    }
    return _fit(blocks, projections, time, event, edges)


def time_grid(time: Array, event: Mask, count: int = 10) -> Array:
    """0 and up to `count` rising quantiles of the event times, the last one the 0.75 quantile."""
    source = time[event] if event.any() else time
    share = np.linspace(0, LAST_QUANTILE, count + 1)[1:]
    return np.concatenate([[0.0], np.unique(np.quantile(source, share))])


def ridge_path(x: Array, time: Array, event: Mask, penalties: Sequence[float]) -> Array:
    """Coefficients (C, len(penalties)) of x (N, C); zero where nobody died or no column varies."""
    if not event.any() or not (x != x[0]).any():
        return np.zeros((x.shape[1], len(penalties)))
    likelihood = PartialLikelihood(x, time, event)
    path = [np.zeros(x.shape[1])]
    for penalty in penalties:
        path.append(likelihood.maximum(penalty, path[-1]))
    return np.stack(path[1:], axis=1)


def choose_penalty(x: Array, time: Array, event: Mask) -> tuple[float, float]:
    """Penalty with the most concordant pairs inside held-out inner folds, and its slope.

    Folds are dealt in order of event and time, so they do not depend on chance and each holds its
    share of the events. Ties go to the strongest penalty, which stays where no pair is comparable.
    The slope is by how much the held-out log hazard ratios must be stretched to be ones: the most
    concordant penalty may shrink them far too much, and then no two models could be compared.
    """
    fold = np.empty(len(time), np.int64)
    fold[np.lexsort((time, event))] = np.arange(len(time)) % INNER_FOLDS
    risk, right = np.zeros((len(PENALTIES), len(time))), np.zeros(len(PENALTIES))
    for held in range(INNER_FOLDS):
        inside, out = fold != held, fold == held
        scaled = inside.mean() * np.array(PENALTIES)  # as strong per patient as in the whole fold
        risk[:, out] = (x[out] @ ridge_path(x[inside], time[inside], event[inside], scaled)).T
        right += [concordant(time[out], event[out], each) for each in risk[:, out]]
    best = int(np.argmax(right))
    return PENALTIES[best], _slope(risk[best], time, event)


def concordant(time: Array, event: Mask, risk: Array) -> float:
    """Number of comparable pairs ranked rightly, ties of risk counting half."""
    try:
        _, right, _, tied, _ = concordance_index_censored(event, time, risk)
    except (NoComparablePairException, ValueError):  # ValueError: nobody died
        return 0.0
    return float(right + 0.5 * tied)


def breslow(time: Array, event: Mask, risk: Array, at: Array) -> Array:
    """Cumulative baseline hazard at the times `at` (K,)."""
    steep = np.clip(risk, -_STEEPEST, _STEEPEST)
    hazard = BreslowEstimator().fit(steep, event, time).cum_baseline_hazard_
    total = np.concatenate([[0.0], hazard.y])
    return np.asarray(total[np.searchsorted(hazard.x, at, side="right")])


def _present(block: Array) -> Mask:
    """Rows (N,) that are not NaN throughout."""
    absent = np.asarray(np.isnan(block).all(axis=1))
    return ~absent if block.shape[1] else np.ones(len(block), bool)


def _mean(block: Array) -> Array:
    """Mean (C,) of the present rows, 0 where there is none."""
    here = block[_present(block)]
    return here.mean(axis=0) if len(here) else np.zeros(block.shape[1])


def _components(block: Array, most: int) -> tuple[Array, Array]:
    """Centre (C,) and projection (C, k) onto principal components of total variance 1."""
    centre, here = _mean(block), block[_present(block)]
    centred = here - centre
    deviation = np.sqrt((centred**2).mean(axis=0)) if len(here) else np.zeros(len(centre))
    varies = deviation > _FLAT * np.maximum(1.0, np.abs(centre))
    scale = np.where(varies, deviation, 1.0)
    standard = np.where(varies, centred / scale, 0.0)
    if not varies.any():
        return centre, np.zeros((len(centre), 0))
    _, spread, basis = np.linalg.svd(standard, full_matrices=False)
    kept = int((spread > 1e-9 * spread[0]).sum())
    projection = basis[: min(kept, most)].T / scale[:, None] / np.sqrt(varies.sum())
    return centre, np.where(varies[:, None], projection, 0.0)


def _slope(risk: Array, time: Array, event: Mask) -> float:
    """Coefficient of held-out log hazard ratios (N,); never below a little, to keep the ranking."""
    spread = float(risk.std())
    if spread == 0:
        return 1.0
    scaled = ridge_path(risk[:, None] / spread, time, event, [1.0])
    return max(float(scaled[0, 0]), _LEAST_SLOPE) / spread


def _fit(
    blocks: Mapping[str, Array],
    projections: Mapping[str, tuple[Array, Array]],
    time: Array,
    event: Mask,
    edges: Array | None,
) -> RidgeCox:
    """Choose the penalty, fit, stretch, and turn components into one coefficient per column."""
    time, event = np.asarray(time, np.float64), np.asarray(event, bool)
    scores = [
        np.where(_present(block)[:, None], (block - projections[name][0]) @ projections[name][1], 0)
        for name, block in blocks.items()
    ]
    x = np.concatenate(scores, axis=1)
    penalty, slope = choose_penalty(x, time, event)
    weight = slope * ridge_path(x, time, event, [penalty])[:, 0]
    cuts = np.cumsum([score.shape[1] for score in scores])[:-1]
    parts = dict(zip(blocks, np.split(weight, cuts), strict=True))
    grid = time_grid(time, event) if edges is None else edges
    return RidgeCox(
        centre={name: centre for name, (centre, _) in projections.items()},
        weight={name: basis @ parts[name] for name, (_, basis) in projections.items()},
        edges=grid,
        baseline=breslow(time, event, x @ weight, grid[1:]),
        penalty=penalty,
    )
