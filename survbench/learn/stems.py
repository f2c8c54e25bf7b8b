"""Stems that make one vector of each modality a patient has.

Letters: B patients, n of them with a modality, M modalities, H width of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from survbench.learn.batch import BagBatch, Batch, GeneBatch, Widths
from survbench.learn.dropout import Dropout
from survbench.learn.hide import present_in
from survbench.learn.pooling import AttentionScore
from survbench.learn.snn import GroupSNN

__all__ = ["BagStem", "GeneStem", "Stems"]


class BagStem(nn.Module):
    """Patches through a dense ReLU layer, then gated attention pooling."""

    def __init__(self, patch: int, width: int, dropout: float = 0.25) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(patch, width), nn.ReLU(), Dropout(dropout))
        self.attend = AttentionScore(width, width, dropout=dropout)

    def forward(self, bags: BagBatch) -> Tensor:
        """Vectors (n, H) of n bags."""
        return self.attend.pool(self.embed(bags.features), bags)


class GeneStem(nn.Module):
    """Gene groups through a two-block SNN each, then one dense ReLU layer over all of them."""

    def __init__(
        self, groups: Mapping[str, Sequence[int]], width: int, dropout: float = 0.25
    ) -> None:
        super().__init__()
        self.embed = GroupSNN(groups, (width, width), dropout=dropout)
        self.merge = nn.Sequential(nn.Linear(len(groups) * width, width), nn.ReLU())

    def forward(self, genes: GeneBatch) -> Tensor:
        """Vectors (n, H) of n patients."""
        vector: Tensor = self.merge(self.embed(genes).flatten(1))
        return vector


class Stems(nn.ModuleDict):
    """One stem for each modality of a cohort, by its kind, in the cohort's order.

    Parameters
    ----------
    widths
        Sizes of the cohort's modalities.
    width
        H, width of a vector.
    dropout
        Of the stems.
    stem
        Makes the stem of a modality instead: from BagBatch or GeneBatch to vectors (n, H).
    """

    def __init__(
        self,
        widths: Widths,
        width: int,
        dropout: float = 0.25,
        *,
        stem: Callable[[str], nn.Module] | None = None,
    ) -> None:
        def by_kind(name: str) -> nn.Module:
            if name in widths.patch:
                return BagStem(widths.patch[name], width, dropout)
            return GeneStem(widths.groups[name], width, dropout)

        super().__init__({name: (stem or by_kind)(name) for name in widths.order})
        self.width = width

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors (B, M, H), zero where absent, and who has what, (B, M)."""
        vectors = []
        for name, stem in self.items():
            modality = batch.modalities[name]
            found = stem(modality) if len(modality) else self._nothing(stem)
            vectors.append(
                found.new_zeros(len(batch), self.width).index_put((modality.rows,), found)
            )
        return torch.stack(vectors, dim=1), present_in(batch, tuple(self))

    def _nothing(self, stem: nn.Module) -> Tensor:
        return next(stem.parameters()).new_zeros(0, self.width)
