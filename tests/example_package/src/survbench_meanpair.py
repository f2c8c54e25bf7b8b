"""Meanpair: mean-pooled patches beside the gene groups; the smallest fusion there is.

Source: the skeleton of `survbench new-method`; name authors, title, venue, year and equations here.
Missing modality: the part of an absent modality is zero.
Departs: in nothing that changes an output.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from survbench.learn import Batch, NeuralMethod, Recipe, Widths


@dataclass(frozen=True)
class MeanpairConfig(Recipe):
    """Hyperparameters; optimiser, epochs and batch are inherited from Recipe."""

    hidden: int = 64  # H, width of a token


class MeanpairNet(nn.Module):
    """Patches and genes to one patient vector to hazard logits."""

    def __init__(self, config: MeanpairConfig, widths: Widths) -> None:
        super().__init__()
        self.patch = nn.Linear(widths.patch["P"], config.hidden)
        columns = sum(len(group) for group in widths.groups["G"].values())
        self.gene = nn.Linear(columns, config.hidden)
        self.head = nn.Linear(2 * config.hidden, widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch in which some lack P or G."""
        bags, genes = batch.bags("P"), batch.genes("G")
        zero = bags.features.new_zeros(len(batch), self.patch.out_features)
        patch = zero.index_copy(0, bags.rows, bags.mean(self.patch(bags.features)))  # (B, H)
        values = torch.cat([genes.group(name) for name in genes.groups], dim=1)  # (n, C)
        gene = zero.index_copy(0, genes.rows, self.gene(values))  # (B, H)
        logits: Tensor = self.head(torch.cat([patch, gene], dim=1).relu())
        return logits


class Meanpair(NeuralMethod):
    """Mean-pooled fusion; see the module docstring."""

    contract = 1
    uses = frozenset({"P", "G"})
    tolerates = frozenset({"P", "G"})
    trains_without = frozenset({"P", "G"})
    Config = MeanpairConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {"epochs": 10, "lr": 1e-3}}

    def build(self, widths: Widths) -> nn.Module:
        """Untrained net for the widths of the cohort."""
        return MeanpairNet(self.config, widths)
