"""A subspace that modalities share, its complement, and the terms that pull latents into them.

Letters: B patients, M modalities, D latent width, r rank. Vectors are rows; a basis (D, r) has
orthonormal columns, so that basis basis^T is an orthogonal projector.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.errors import InputError

__all__ = [
    "Decomposition",
    "Subspace",
    "cosine",
    "inside",
    "orthonormal",
    "outside",
    "own_shared",
    "projector",
]


def orthonormal(raw: Tensor) -> Tensor:
    """Orthonormal basis (D, r) of the columns of `raw` (D, r): Q of its QR with diag R > 0."""
    q, r = torch.linalg.qr(raw)
    sign = torch.where(r.diagonal() < 0, -1.0, 1.0).to(q)
    basis: Tensor = q * sign  # without the fixed sign, basis vectors could flip between two steps
    return basis


def projector(basis: Tensor) -> Tensor:
    """Orthogonal projector (D, D) onto the span of `basis` (D, r)."""
    return basis @ basis.mT


def inside(vector: Tensor, basis: Tensor) -> Tensor:
    """Part (..., D) of `vector` (..., D) in the span of `basis` (D, r)."""
    return (vector @ basis) @ basis.mT


def outside(vector: Tensor, basis: Tensor) -> Tensor:
    """Part (..., D) of `vector` (..., D) orthogonal to the span of `basis` (D, r)."""
    return vector - inside(vector, basis)


def cosine(left: Tensor, right: Tensor, eps: float = 1e-8) -> Tensor:
    """Cosines (...) between vectors (..., D); 0 where either is zero."""
    return functional.cosine_similarity(left, right, dim=-1, eps=eps)


class Subspace(nn.Module):
    """A learned r-dimensional subspace of R^D, orthonormal after every optimiser step.

    Any step moves an unconstrained (D, r) matrix; what is used is the Q of its QR decomposition.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        if not 0 < rank < width:
            msg = f"rank is {rank}; it must be between 1 and {width - 1}, the width less one"
            raise InputError(msg)
        self.raw = nn.Parameter(torch.randn(width, rank) / width**0.5)

    def forward(self) -> Tensor:
        """Orthonormal basis (D, r)."""
        return orthonormal(self.raw)


def own_shared(shared: Tensor) -> Tensor:
    """What each modality contributes to the others, (B, M, D), of `shared` (B, M, M, D).

    `shared[:, m, n]` is read by queries of m from values of n, and zero where m = n; entry m of the
    result is the mean over the queries n != m of the vectors whose values are of m.
    """
    return shared.sum(dim=1) / (shared.shape[1] - 1)


@dataclass
class Decomposition:
    """Latents of B patients with all M modalities, split as whole = specific + shared.

    `whole` and `specific` are (B, M, D), `shared` is (B, M, M, D) as in `own_shared`.
    """

    whole: Tensor
    specific: Tensor
    shared: Tensor

    def residual(self) -> Tensor:
        """Squared norm (B, M) of whole - specific - shared, of each modality."""
        rest = self.whole - self.specific - own_shared(self.shared)
        return rest.square().sum(dim=2)

    def disagreement(self) -> Tensor:
        """Mean over pairs of |shared[m, n] - shared[n, m]|^2, (B,)."""
        m, n = self._pairs()
        return (self.shared[:, m, n] - self.shared[:, n, m]).square().sum(dim=-1).mean(dim=1)

    def overlap(self) -> Tensor:
        """Absolute cosines, (B,), between specific parts, and of each with its shared parts.

        The second kind is a mean over the M - 1 shared parts that a modality queries.
        """
        m, n = self._pairs()
        between = cosine(self.specific[:, m], self.specific[:, n]).abs().sum(dim=1)
        within = cosine(self.specific[:, :, None], self.shared).abs()  # (B, M, M), diagonal 0
        return between + within.sum(dim=(1, 2)) / (self.shared.shape[1] - 1)

    def _pairs(self) -> tuple[Tensor, Tensor]:
        count = self.whole.shape[1]
        m, n = torch.triu_indices(count, count, offset=1, device=self.whole.device)
        return m, n
