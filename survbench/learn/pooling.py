"""Attention pooling of ragged bags and of short sequences.

Letters: T patches of all patients, B patients with L tokens each, H token width.
"""

import torch
from torch import Tensor, nn

from survbench.learn.batch import BagBatch
from survbench.learn.dropout import Dropout

__all__ = ["AttentionScore", "BranchScore", "GatedHalves"]


class GatedHalves(nn.Module):
    """What attention scores are read from: tanh(V h) * sigmoid(U h), or tanh(V h) alone.

    Every map has a bias, and dropout acts on both halves before the product, so the map is noisy
    in training as in the reference.

    Parameters
    ----------
    width
        H, width of a token.
    hidden
        Width of V and U.
    gated
        Whether there is U.
    dropout
        On each half.
    """

    def __init__(
        self, width: int, hidden: int, *, gated: bool = True, dropout: float = 0.25
    ) -> None:
        super().__init__()
        self.content = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), Dropout(dropout))
        self.gate = (
            nn.Sequential(nn.Linear(width, hidden), nn.Sigmoid(), Dropout(dropout))
            if gated
            else None
        )

    def halves(self, token: Tensor) -> Tensor:
        """Product (..., A) of both halves, of tokens (..., H)."""
        half: Tensor = self.content(token)
        return half if self.gate is None else half * self.gate(token)


class AttentionScore(GatedHalves):
    """One attention score per token, before the softmax over its bag: w^T of the gated halves.

    Parameters are those of `GatedHalves`.
    """

    def __init__(
        self, width: int, hidden: int, *, gated: bool = True, dropout: float = 0.25
    ) -> None:
        super().__init__(width, hidden, gated=gated, dropout=dropout)
        self.score = nn.Linear(hidden, 1)

    def forward(self, token: Tensor) -> Tensor:
        """Scores (..., T) of tokens (..., T, H)."""
        score: Tensor = self.score(self.halves(token))[..., 0]
        return score

    def pool(self, token: Tensor, bags: BagBatch | None = None) -> Tensor:
        """Tokens weighted by the softmax of their scores, and summed.

        (n, H) of ragged tokens (T, H) of n bags, or (B, H) of tokens (B, L, H) without bags.
        """
        score: Tensor = self(token)
        if bags is None:
            weight = score.softmax(dim=1)  # (B, L)
            return (weight[..., None] * token).sum(dim=1)
        return bags.sum(bags.softmax(score)[:, None] * token)


class BranchScore(GatedHalves):
    """R attention scores per token, one for each branch, all read from the same halves.

    Parameters are those of `GatedHalves`, with R, the number of branches.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        branches: int,
        *,
        gated: bool = True,
        dropout: float = 0.25,
    ) -> None:
        super().__init__(width, hidden, gated=gated, dropout=dropout)
        self.score = nn.Linear(hidden, branches)

    def forward(self, token: Tensor) -> Tensor:
        """Scores (..., R) of tokens (..., H)."""
        score: Tensor = self.score(self.halves(token))
        return score

    def weights(self, token: Tensor, bags: BagBatch) -> Tensor:
        """Weights (T, R) of ragged tokens (T, H): the softmax of each branch over each bag."""
        return torch.stack([bags.softmax(score) for score in self(token).unbind(1)], dim=1)
