"""Phenotypes: k-means clusters of the patches of training patients, and means over them.

Letters: T patches of n bags, D patch width, C clusters, H token width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from survbench.cohort import Bags
from survbench.learn.batch import BagBatch

__all__ = ["Assignment", "Centres", "cluster_means"]

STARTS = 3  # the best of so many
PATCHES = 8192  # assigned at a time, so that memory stays bounded
CONSTANT = 1e-6  # a smaller spread is rounding


@dataclass(frozen=True, eq=False)
class Centres:
    """Which of at most C centres is nearest, as a linear map of a patch: the largest score.

    Parameters
    ----------
    weight : array (C, D)
        Centre over spread, of the standardised columns.
    bias : array (C,)
        What makes the score a negative squared distance, but for what all centres share.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    @classmethod
    def fit(cls, bags: Bags, clusters: int, *, patches: int, seed: int) -> Self:
        """Centres of standardised patches, at most `patches` drawn from each bag.

        There are fewer than `clusters` where k-means cannot tell so many apart.
        """
        draw = np.random.default_rng(seed)
        drawn = [
            _some(bags.bag(row), patches, draw) for row in np.flatnonzero(bags.present).tolist()
        ]
        sample = np.concatenate(drawn)
        shift, spread = sample.mean(axis=0, dtype=np.float64), sample.std(axis=0, dtype=np.float64)
        spread[spread < CONSTANT] = 1.0
        kmeans = MiniBatchKMeans(
            min(clusters, len(sample)), random_state=seed % 2**32, n_init=STARTS, batch_size=1024
        )
        with threadpool_limits(limits=1):  # the order of sums must not depend on threads
            kmeans.fit(((sample - shift) / spread).astype(np.float32))
        centre = np.unique(kmeans.cluster_centers_.astype(np.float64), axis=0)
        weight = centre / spread
        return cls(weight, -weight @ shift - np.square(centre).sum(axis=1) / 2)


def _some(patch: NDArray[np.float32], most: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """At most `most` rows of a bag."""
    if len(patch) <= most:
        return patch
    return patch[np.sort(draw.choice(len(patch), most, replace=False))]


class Assignment(nn.Module):
    """Cluster of every patch; what `centres` fitted, kept with the net's weights.

    Parameters
    ----------
    clusters
        C; those beyond the fitted centres have no patch.
    width
        D.
    centres
        None leaves every patch in the first cluster, until weights are loaded.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, clusters: int, width: int, centres: Centres | None = None) -> None:
        super().__init__()
        weight = torch.zeros(clusters, width, dtype=torch.float64)
        bias = torch.full((clusters,), -torch.inf, dtype=torch.float64)
        if centres is not None:
            weight[: len(centres.weight)] = torch.as_tensor(centres.weight)
            bias[: len(centres.bias)] = torch.as_tensor(centres.bias)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, patch: Tensor) -> Tensor:
        """Cluster (T,) of patches (T, D), in float64, so that none changes with its company."""
        parts = [
            (part.double() @ self.weight.T + self.bias).argmax(dim=1)
            for part in patch.split(PATCHES)
        ]
        return torch.cat(parts)


def cluster_means(
    values: Tensor, cluster: Tensor, bags: BagBatch, clusters: int
) -> tuple[Tensor, Tensor]:
    """Mean of the patches (T, H) of each cluster of each bag, (n, C, H), zero where it has none.

    And which clusters have some, (n, C).
    """
    cell = bags.segment * clusters + cluster
    count = torch.bincount(cell, minlength=len(bags) * clusters)
    total = values.new_zeros(len(count), values.shape[1]).index_add(0, cell, values)
    mean = total / count.clamp(min=1)[:, None]
    return mean.unflatten(0, (len(bags), clusters)), (count > 0).view(len(bags), clusters)
