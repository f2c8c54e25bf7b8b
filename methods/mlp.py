"""MLP: two dense ReLU layers on one gene vector; genomics only.

Source: MUST, CVPR 2026, table 1, which names but does not describe it; the network is the gene
    MLP of SurvPath's code (Linear, ReLU, Dropout, twice, at half the projection width).
Missing modality: no mechanism; without G there is no prediction, without P nothing changes.
Departs: projection 512 as MUST's token width asks and as the class defaults to, where SurvPath's
    runner builds 64 (preset `paper`); genes in several groups enter once (union of the groups);
    Adam without balanced sampling as for the other baselines.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from survbench.learn import NeuralMethod, Recipe, Widths
from survbench.learn.snn import GeneVectorNet, gene_columns, mlp_blocks


@dataclass(frozen=True)
class MLPConfig(Recipe):
    """Hyperparameters; network as SurvPath's class, recipe as MCAT's code."""

    projection: int = 512  # twice the hidden width; SurvPath's runner: 64
    dropout: float = 0.25  # SurvPath's runner; its class: 0.1
    ungrouped: bool = False  # also read the columns that are in no gene group


class MLPNet(GeneVectorNet):
    """Gene vector through two dense layers to hazard logits."""

    def __init__(self, config: MLPConfig, widths: Widths) -> None:
        hidden = config.projection // 2
        columns = gene_columns(widths, "G", ungrouped=config.ungrouped)
        blocks = mlp_blocks(len(columns), (hidden, hidden), dropout=config.dropout)
        super().__init__(columns, blocks, hidden, widths.intervals)


class MLP(NeuralMethod):
    """Dense network on genes; see the module docstring."""

    uses = frozenset({"G"})
    Config = MLPConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"projection": 128, "epochs": 10, "lr": 1e-3},
        "paper": {
            "projection": 64,
            "optimiser": "radam",
            "lr": 5e-4,
            "weight_decay": 1e-4,
            "epochs": 5,
            "batch": 1,
            "schedule": "cosine_warmup",
            "sampler": "balanced",
            "alpha": 0.5,
        },  # SurvPath's scripts/omics.sh
    }

    def build(self, widths: Widths) -> nn.Module:
        """MLP for the cohort's gene groups."""
        return MLPNet(self.config, widths)
