"""GPDBN: outer products of a gene and a pathology vector, and of each with itself.

Source: Wang, Li, Wang & Li, GPDBN, Bioinformatics 2021, with the Cox version of its code.
    Original: the two vectors of width 32 to the code (outer products, three compressing layers,
    MLP), which is all of `BilinearFusion`. Adapted: what makes the vectors, head, loss and recipe.
Missing modality: no mechanism; zero genes, or one zero patch, stand in (`*` in every table) and
    reach the outer products as one constant vector of what encoders make of zeros.
Departs: the original reads 32 selected genes in {-1, 0, 1} and 32 selected image features in
    {0, 1}, one vector each. Here a bag becomes a vector by MCAT's gated attention pooling, a dense
    layer and a sigmoid; genes by one SNN block over the union of the groups (six in TCGA, any
    number here; a gene in several enters once), a dense layer and a tanh: the original ranges.
    Discrete hazards instead of a Cox log-risk; 6 sigmoid - 3 around it is left out, since it would
    hold hazards within 0.05 to 0.95. Recipe of the other baselines (mini-batches, 2e-4, no decay
    of lr) instead of one batch of all patients, which is in preset `paper`; its L1 of 3e-4 (`l1`)
    is off, since it would rule the larger network. What stands in is filled in before the encoders,
    as for every method here; a zero vector behind them would silence its outer products exactly.
    The older Keras form (two classes) is not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from survbench.learn import Batch, NeuralMethod, Recipe, Stage, Widths
from survbench.learn.bilinear import OuterProduct
from survbench.learn.penalty import with_l1
from survbench.learn.snn import mlp_blocks
from survbench.learn.vectors import VectorStems


@dataclass(frozen=True)
class GPDBNConfig(Recipe):
    """Hyperparameters; fusion as the official code, encoders and recipe as MCAT's."""

    hidden: int = 256  # width of patch tokens and of the gene block; adapted
    encoder_dropout: float = 0.25  # tokens, attention and gene block; adapted
    vector: int = 32  # E, width of both vectors; official code
    bilinear: int = 20  # width of each compressed outer product; official code
    mlp: tuple[int, ...] = (500, 256, 128, 32)  # official code; the last is the patient's code
    dropout: float = 0.1  # of the MLP; official code, whose command line says 0.3 in vain
    l1: float = 0.0  # per optimiser step, on all parameters; official 3e-4


class BilinearFusion(nn.Module):
    """Two vectors, their outer product and those with themselves, through an MLP to a code."""

    def __init__(self, config: GPDBNConfig) -> None:
        super().__init__()
        width, outputs = config.vector, config.bilinear
        self.inter = OuterProduct(width, outputs)
        self.intra_gene = OuterProduct(width, outputs)
        self.intra_path = OuterProduct(width, outputs)
        self.mlp = mlp_blocks(2 * width + 3 * outputs, config.mlp, dropout=config.dropout)

    def join(self, gene: Tensor, path: Tensor) -> Tensor:
        """Both vectors (B, E) and their compressed outer products, side by side."""
        products = (
            self.inter(gene, path),
            self.intra_gene(gene, gene),
            self.intra_path(path, path),
        )
        return torch.cat([gene, path, *products], dim=1)

    def forward(self, gene: Tensor, path: Tensor) -> Tensor:
        """Codes (B, mlp[-1]) of vectors (B, E)."""
        code: Tensor = self.mlp(self.join(gene, path))
        return code


class GPDBNNet(nn.Module):
    """Bag and genes to one vector each to a code to hazard logits."""

    def __init__(self, config: GPDBNConfig, widths: Widths) -> None:
        super().__init__()
        self.vectors = VectorStems(
            widths,
            config.vector,
            hidden=config.hidden,
            dropout=config.encoder_dropout,
            bounded=True,
        )
        self.gene, self.path = (widths.order.index(name) for name in ("G", "P"))
        self.fusion = BilinearFusion(config)
        self.head = nn.Linear(config.mlp[-1], widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch of B patients who have both."""
        vector, _ = self.vectors(batch)  # (B, 2, E)
        logits: Tensor = self.head(self.fusion(vector[:, self.gene], vector[:, self.path]))
        return logits


class GPDBN(NeuralMethod):
    """Deep bilinear network of genes and pathology; see the module docstring."""

    uses = frozenset({"P", "G"})
    fill = "zero"
    resumes = True
    Config = GPDBNConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"hidden": 64, "epochs": 10, "lr": 1e-3},
        "paper": {"epochs": 150, "batch": 100_000, "weight_decay": 1e-6},  # all patients at once
    }

    def build(self, widths: Widths) -> nn.Module:
        """GPDBN for the cohort's patches and genes."""
        return GPDBNNet(self.config, widths)

    def stages(self) -> list[Stage]:
        """One stage by the recipe, with the L1 term where it is on."""
        return with_l1(super().stages(), self.config.l1)
