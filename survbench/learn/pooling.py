"""Attention pooling of ragged bags and of short sequences.

Letters: T patches of all patients, B patients with L tokens each, H token width.
"""

from torch import Tensor, nn

from survbench.learn.batch import BagBatch

__all__ = ["AttentionScore"]


class AttentionScore(nn.Module):
    """One attention score per token, before the softmax over its bag.

    Gated: w^T (tanh(V h) * sigmoid(U h)); plain: w^T tanh(V h). Every map has a bias, and dropout
    acts on both halves before the product, so the map is noisy in training as in the reference.

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
        self.content = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Dropout(dropout))
        self.gate = (
            nn.Sequential(nn.Linear(width, hidden), nn.Sigmoid(), nn.Dropout(dropout))
            if gated
            else None
        )
        self.score = nn.Linear(hidden, 1)

    def forward(self, token: Tensor) -> Tensor:
        """Scores (..., T) of tokens (..., T, H)."""
        half = self.content(token)
        if self.gate is not None:
            half = half * self.gate(token)
        score: Tensor = self.score(half)[..., 0]
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
