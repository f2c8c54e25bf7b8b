"""A graph of similar patients, in which each is told of by those who resemble them.

Edges lead from the patients of a bank to any patient, and among those of the bank; whoever is not
in the bank leaves no trace in it, so that nobody's numbers depend on who else is looked at.

Letters: B patients, n of the bank, M modalities, H width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from survbench.learn.bank import Nodes
from survbench.learn.kernels import ReferenceNorm, kernel

__all__ = ["Edges", "Neighbours", "Similarity", "kept", "nearest"]

TINY = 1e-12


def kept(similarity: Tensor, threshold: Tensor) -> Tensor:
    """Similarities above the threshold, as they are, and 0 elsewhere.

    Their gradient is that of similarity - threshold.
    """
    over = (similarity - threshold).relu()
    return torch.where(over > 0, over + threshold.detach(), over)


def nearest(similarity: Tensor, count: int) -> Tensor:
    """The largest `count` of each row of similarities (B, n), as they are, and 0 elsewhere."""
    top = similarity.topk(min(count, similarity.shape[1]), dim=1)
    return torch.zeros_like(similarity).scatter(1, top.indices, top.values)


class Similarity(nn.Module):
    """Similarity of patients, in [0, 1], by the modalities that both have.

    Parameters
    ----------
    names
        Of the modalities.
    width
        H.
    product
        Multiply ((1 - g) K1 + g) K2, as printed in the notebooks, for (1 - g) K1 + g K2.
    """

    def __init__(self, names: Sequence[str], width: int, *, product: bool = False) -> None:
        super().__init__()
        self.product = product
        self.project = nn.ModuleDict({name: _projection(width) for name in names})
        self.norm = ReferenceNorm(width)
        self.balance = nn.Parameter(torch.full((len(names),), 2.0))
        self.threshold = nn.Parameter(torch.full((1,), 2.0))

    def cut(self) -> Tensor:
        """The threshold in (0, 1), (1,)."""
        return self.threshold.sigmoid()

    def forward(self, nodes: Nodes, bank: Nodes) -> tuple[Tensor, Tensor]:
        """Similarities (n, n) within a bank, and (B, n) of patients with those of the bank.

        0 where two share no modality.
        """
        size, present = len(bank), torch.cat([bank.present, nodes.present])  # (n + B, M)
        shared = present.float() @ bank.present.float().mT  # (n + B, n), how many both have
        total = nodes.vector.new_zeros(shared.shape)
        for column, name in enumerate(self.project):
            row = present[:, column].nonzero()[:, 0]
            known = row[row < size]
            vector = torch.cat(
                [bank.vector[known, column], nodes.vector[row[len(known) :] - size, column]]
            )
            found = self.mixed(name, vector, len(known))
            total = total.index_put((row[:, None], known[None]), found, accumulate=True)
        mean = total / shared.clamp(min=1)
        return mean[:size], mean[size:]

    def mixed(self, name: str, vector: Tensor, count: int) -> Tensor:
        """Kernels (n + B, n) of a modality's vectors (n + B, H) with the first n of them, mixed.

        K1 is of projected vectors, K2 of the vectors themselves; both are normalised first, and
        statistics and bandwidths are those of these `count` n.
        """
        projected = self.norm(self.project[name](vector).relu(), count)
        first, second = kernel(projected, count), kernel(self.norm(vector, count), count)
        share = self.balance[list(self.project).index(name)].sigmoid()
        if self.product:
            return ((1 - share) * first + share) * second
        return (1 - share) * first + share * second


@dataclass
class Edges:
    """Weights with which patients hear of those who have a modality.

    `among` (n, n) of the bank, `towards` (B, n) from the bank to patients, and `own` (B, 1) of
    each patient themselves.
    """

    among: Tensor
    towards: Tensor
    own: Tensor

    def averaged(self) -> Edges:
        """The same in proportion, of sum 1 for each who hears of anybody."""
        within = self.among.sum(dim=1, keepdim=True).clamp(min=TINY)
        total = (self.towards.sum(dim=1, keepdim=True) + self.own).clamp(min=TINY)
        return Edges(self.among / within, self.towards / total, self.own / total)


class Neighbours(nn.Module):
    """Two graph convolutions: ReLU of a dense layer of the weighted sum over neighbours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, edges: Edges, vector: Tensor, bank: Tensor) -> Tensor:
        """What neighbours tell (B, H) of patients' vectors (B, H) and those of the bank (n, H)."""
        within = self.first(edges.among @ bank).relu()
        mine = self.first(edges.towards @ bank + edges.own * vector).relu()
        told: Tensor = self.second(edges.towards @ within + edges.own * mine).relu()
        return told


def _projection(width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(width, width)]
    for _ in range(2):
        layers += [nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(*layers)
