"""Fusion of two vectors through their outer product, at full rank or factorised.

Letters: B patients, H width of a vector, R rank.
"""

import torch
from torch import Tensor, nn

__all__ = ["LowRankFusion", "OuterFusion"]


def with_one(vector: Tensor) -> Tensor:
    """Vectors (B, 1 + H) with a 1 in front, so that products keep each vector by itself."""
    return torch.cat([vector.new_ones(len(vector), 1), vector], dim=1)


class LowRankFusion(nn.Module):
    """sum_r w_r (U_r^T [1; x]) * (V_r^T [1; y]) + b, as Liu et al., ACL 2018.

    This is [1; x] [1; y]^T contracted with a tensor of rank R, which is never built.
    """

    def __init__(self, width: int, rank: int = 4) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(rank, width + 1, width))
        self.second = nn.Parameter(torch.empty(rank, width + 1, width))
        self.weight = nn.Parameter(torch.empty(1, rank))
        self.bias = nn.Parameter(torch.zeros(1, width))
        for factor in (*self.first.data, *self.second.data, self.weight.data):
            nn.init.xavier_normal_(factor)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Fused vectors (B, H) of vectors (B, H) and (B, H)."""
        product = (with_one(x) @ self.first) * (with_one(y) @ self.second)  # (R, B, H)
        return torch.einsum("r,rbh->bh", self.weight[0], product) + self.bias


class OuterFusion(nn.Module):
    """The whole outer product [1; x] [1; y]^T through one dense layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear((width + 1) ** 2, width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Fused vectors (B, H) of vectors (B, H) and (B, H)."""
        product = with_one(x)[:, :, None] * with_one(y)[:, None, :]  # (B, 1 + H, 1 + H)
        fused: Tensor = self.dense(product.flatten(1))
        return fused
