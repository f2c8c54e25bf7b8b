"""Gaussian kernels between patients, in units of how far apart a set of reference patients is.

Letters: n reference patients, B others, H width of a vector.
"""

import torch
from torch import Tensor, nn

__all__ = ["ReferenceNorm", "bandwidth", "kernel", "squared_distances"]

SMALLEST = 1e-3  # below it, vectors count as equal and the bandwidth is 1


def bandwidth(reference: Tensor) -> Tensor:
    """Mean squared distance, (), between two different rows of (n, H); 1 where there is none.

    It carries no gradient. The sum of all squared distances is 2 n times that of the squared
    distances from the mean, which costs n instead of n^2.
    """
    count = len(reference)
    centred = reference.detach() - reference.detach().mean(dim=0)
    width = 2 * centred.square().sum() / max(count - 1, 1)
    return torch.where(width >= SMALLEST, width, 1.0)


def squared_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Squared distances (B, n) between rows (B, H) and columns (n, H)."""
    if len(columns):
        centre = columns.detach().mean(dim=0)  # so that less cancels in the difference
        rows, columns = rows - centre, columns - centre
    norms = rows.square().sum(dim=1)[:, None] + columns.square().sum(dim=1)
    return (norms - 2 * rows @ columns.mT).clamp(min=0)


def kernel(vectors: Tensor, count: int) -> Tensor:
    """Mean of three Gaussian kernels, (n + B, n), of vectors (n + B, H) with the first n.

    The bandwidths are a half of, once and twice that of these `count` n.
    """
    reference = vectors[:count]
    wide = (-squared_distances(vectors, reference) / (2 * bandwidth(reference))).exp()
    middle = wide.square()
    return (wide + middle + middle.square()) / 3


class ReferenceNorm(nn.Module):
    """Batch normalisation in which the batch statistics are those of reference patients alone.

    Parameters
    ----------
    width
        H.
    momentum
        How fast the running statistics, used in eval mode, follow.
    eps
        Added to variances.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, vectors: Tensor, count: int) -> Tensor:
        """Vectors (n + B, H) normalised; the first `count` n are the reference.

        Where they are fewer than two, the running statistics are used in training too.
        """
        mean, variance = self.running_mean, self.running_var
        if self.training and count > 1:
            variance, mean = torch.var_mean(vectors[:count], dim=0, correction=0)
            self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (vectors - mean) * scale + self.bias

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
