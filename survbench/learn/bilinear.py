"""Bilinear products of two vectors, compressed: in full, and factorised.

Letters: H width of a vector, O outputs, R rank.
"""

from torch import Tensor, nn
from torch.nn import functional

from survbench.learn.dropout import Dropout

__all__ = ["FactorisedProduct", "OuterProduct"]


class OuterProduct(nn.Module):
    """ReLU(W vec(a b^T) + c): every entry of a times every entry of b, through one dense layer.

    Parameters
    ----------
    width
        H, width of both vectors.
    outputs
        O, width of the result.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width * width, outputs)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Products (..., O) of vectors (..., H), the index of `first` being the slow one."""
        outer = (first[..., :, None] * second[..., None, :]).flatten(-2)  # (..., H H)
        product: Tensor = self.dense(outer).relu()
        return product


class FactorisedProduct(nn.Module):
    """a^T W_o b of O matrices of rank R, from the projections of a and b onto their factors.

    Signed square root and L2 norm follow, so that a product of the same projections is a vector of
    length 1 without negative entries.

    Parameters
    ----------
    outputs
        O, width of the result.
    rank
        R, rank of each matrix.
    dropout
        On the products of factors, before they are summed.
    """

    def __init__(self, outputs: int, rank: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.shape = (outputs, rank)
        self.drop = Dropout(dropout)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Products (..., O) of projections (..., O R), rank being the fast index."""
        product = self.drop(first * second).unflatten(-1, self.shape).sum(dim=-1)
        # sign(t) sqrt|t| would have the gradient nan at 0
        rooted = product.relu().sqrt() - (-product).relu().sqrt()
        return functional.normalize(rooted, dim=-1)
