"""Optimal transport between the patches and the gene tokens of a patient, by the library POT.

Letters: B patients, g gene groups, T patches of all patients, L of one, H token width.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import ot
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn.batch import BagBatch
from survbench.learn.kernels import squared_distances

__all__ = [
    "TransportGuide",
    "TransportKernel",
    "TransportKind",
    "balanced_plan",
    "transport_cost",
    "unbalanced_plan",
]

TransportKind = Literal["unbalanced", "balanced"]
TransportKernel = Literal["entropy", "kl"]

ITERATIONS = 1000
UNBALANCED_STOP, BALANCED_STOP = 1e-6, 1e-9  # the defaults of POT, spelt out
TINY = 1e-12  # where all tokens are equal, costs and row sums are 0


def shifted(token: Tensor) -> Tensor:
    """Tokens (..., H) less the smallest entry of each, so that none is negative."""
    return token - token.amin(dim=-1, keepdim=True)


def transport_cost(token: Tensor, gene: Tensor) -> Tensor:
    """Squared distances (L, g) between shifted patch tokens (L, H) and gene tokens (g, H)."""
    return squared_distances(shifted(token), shifted(gene))


def unbalanced_plan(
    cost: NDArray[np.float64], *, eps: float, tau: float, kernel: TransportKernel = "entropy"
) -> NDArray[np.float64]:
    """Plan (L, g) of entropic transport whose marginals are only drawn towards uniform ones.

    Parameters
    ----------
    cost
        (L, g); it is divided by its largest entry.
    eps
        Weight of the entropy.
    tau
        Weight of the divergence of each marginal from the uniform one.
    kernel
        'entropy': the kernel is exp(-cost / eps), and the mass of the plan grows with L; 'kl':
        that times 1 / (L g), and it does not.
    """
    rows, columns = cost.shape
    # POT warns at every call with 'entropy', and where digits run out: the last good plan stands
    with warnings.catch_warnings(action="ignore"):
        plan: NDArray[np.float64] = ot.unbalanced.sinkhorn_knopp_unbalanced(
            ot.unif(rows),
            ot.unif(columns),
            relative(cost),
            eps,
            tau,
            reg_type=kernel,  # always given: its default depends on the version of POT
            numItermax=ITERATIONS,
            stopThr=UNBALANCED_STOP,
        )
    return plan


def balanced_plan(
    cost: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    *,
    eps: float,
) -> NDArray[np.float64]:
    """Plan (L, g) of entropic transport between marginals proportional to given weights.

    Parameters
    ----------
    cost
        (L, g); it is divided by its largest entry.
    rows, columns
        Weights (L,) and (g,), not negative; uniform where all are 0.
    eps
        Weight of the entropy.
    """
    with warnings.catch_warnings(action="ignore"):  # as above
        plan: NDArray[np.float64] = ot.sinkhorn(
            (rows + TINY) / (rows + TINY).sum(),
            (columns + TINY) / (columns + TINY).sum(),
            relative(cost),
            eps,
            numItermax=ITERATIONS,
            stopThr=BALANCED_STOP,
            warn=False,
        )
    return plan


def relative(cost: NDArray[np.float64]) -> NDArray[np.float64]:
    """Costs over the largest of them."""
    scaled: NDArray[np.float64] = cost / max(cost.max(), TINY)
    return scaled


class TransportGuide(nn.Module):
    """What each gene token gets of the patches by a transport plan, which learns nothing.

    To be used as the `guide` of `GeneGuided`.

    Parameters
    ----------
    kind
        'unbalanced', or 'balanced' between marginals proportional to the row sums of the shifted
        tokens.
    kernel
        As in `unbalanced_plan`; the balanced plan is the same under both.
    eps, tau
        As in `unbalanced_plan`; `tau` concerns it alone.

    Raises
    ------
    InputError
        If a word is not known or a weight is not positive.
    """

    def __init__(
        self,
        *,
        kind: TransportKind = "unbalanced",
        kernel: TransportKernel = "entropy",
        eps: float = 0.1,
        tau: float = 0.5,
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("transport", kind, ("unbalanced", "balanced")),
            ("kernel", kernel, ("entropy", "kl")),
        ):
            if value not in allowed:
                msg = f"{name} {value!r} is not known; use {' or '.join(allowed)}"
                raise InputError(msg)
        for name, number in {"eps": eps, "tau": tau}.items():
            if not number > 0:
                msg = f"{name} is {number}; it must be above 0"
                raise InputError(msg)
        self.kind, self.kernel, self.eps, self.tau = kind, kernel, eps, tau

    def forward(self, gene: Tensor, token: Tensor, bags: BagBatch) -> Tensor:
        """Visual concepts (B, g, H) of gene tokens (B, g, H) and patch tokens (T, H) of B bags."""
        plan, _ = bags.padded(self.plans(gene, token, bags))  # (B, L, g), zero where padded
        source, _ = bags.padded(token)
        return plan.mT @ source

    @torch.no_grad()
    def plans(self, gene: Tensor, token: Tensor, bags: BagBatch) -> Tensor:
        """Plans (T, g), one patient's rows after the other's, without gradients."""
        bag = token.detach().double().cpu().split(bags.length.tolist())
        pairs = zip(bag, gene.detach().double().cpu(), strict=True)
        plans = [torch.from_numpy(self.plan(own, one)) for own, one in pairs]
        return torch.cat(plans).to(token)

    def plan(self, token: Tensor, gene: Tensor) -> NDArray[np.float64]:
        """Plan (L, g) of one patient's patch tokens (L, H) and gene tokens (g, H), float64."""
        cost = transport_cost(token, gene).numpy()
        if self.kind == "unbalanced":
            return unbalanced_plan(cost, eps=self.eps, tau=self.tau, kernel=self.kernel)
        rows, columns = (shifted(each).sum(dim=1).numpy() for each in (token, gene))
        return balanced_plan(cost, rows, columns, eps=self.eps)
