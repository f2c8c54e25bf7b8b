"""PORPOISE: gated attention pooling of patches, an SNN on one gene vector, gated outer product.

Source: Chen et al., Pan-cancer integrative histology-genomic analysis via multimodal deep learning,
    Cancer Cell 2022, with its code: the multimodal network (MMF), and with `use=P` its attention
    network of pathology alone (AMIL). Its gene network is the method `snn`.
Missing modality: no mechanism; zero genes, or one zero patch, stand in (`*` in every table) and are
    no zero vectors behind the encoders. With `use=P` there is no prediction without P.
Departs: gates, skip and input dropout are on as in the code's classes and the paper; its command
    line switches them off (preset `command_line`). The gene vector is the groups one behind the
    other, so that a gene in several enters several times (`repeat_genes=False`: once), where the
    official one is every column of its tables. L1 off and balanced sampling off (both on in presets
    `paper` and `command_line`); `l1` counts per optimiser step, where the official 1e-5 is added at
    each of 32 accumulated patients and so equals 32e-5 here; like theirs it shrinks gates that are
    off. The last step of an epoch takes the patients left over, whose gradients the official code
    carries into the next epoch. Its low-rank fusion, which cannot run, is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from survbench.learn import BagBatch, Batch, NeuralMethod, Recipe, Stage, Widths
from survbench.learn.dropout import Dropout
from survbench.learn.fusion import FusionKind, fusion_of
from survbench.learn.penalty import with_l1
from survbench.learn.pooling import AttentionScore
from survbench.learn.snn import dense_block, gene_columns, mlp_blocks, snn_blocks, xavier_normal_

CHOICES = {"use": ("PG", "P"), "gene_net": ("snn", "mlp"), "l1_on": ("pathomic", "omic")}


@dataclass(frozen=True)
class PORPOISEConfig(Recipe):
    """Hyperparameters; network and recipe are those of the official code."""

    use: str = "PG"  # 'P': AMIL, patches alone
    hidden: int = 512  # width of patch tokens
    attention: int = 256  # width of the attention halves
    width: int = 256  # H, width of the vector of a modality
    dropout: float = 0.25
    input_dropout: float = 0.1  # of the patches; official class, its command line has none
    gene_net: str = "snn"  # 'mlp': ReLU and ordinary dropout
    repeat_genes: bool = True  # False: a gene in several groups enters once
    fusion: FusionKind = "bilinear"  # the paper; 'concat' is the code's other
    gate_path: bool = True  # official class; off on its command line
    gate_gene: bool = True  # official class; off on its command line
    skip: bool = True  # official class; off on its command line
    scale_path: int = 8  # H over the width of the reduced vector
    scale_gene: int = 8
    bilinear_gate: bool = False  # never on in the official code
    l1: float = 0.0  # per optimiser step; official 32e-5
    l1_on: str = "pathomic"  # gene network and fusion; 'omic': gene network alone

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of(CHOICES)


class PatchPooling(nn.Module):
    """Patches to tokens to one vector by gated attention."""

    def __init__(self, config: PORPOISEConfig, patch: int, input_dropout: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            Dropout(input_dropout),
            nn.Linear(patch, config.hidden),
            nn.ReLU(),
            Dropout(config.dropout),
        )
        self.attend = AttentionScore(config.hidden, config.attention, dropout=config.dropout)

    def forward(self, bags: BagBatch) -> Tensor:
        """Vectors (B, hidden) of B bags."""
        return self.attend.pool(self.embed(bags.features), bags)


class AMILNet(nn.Module):
    """Patches to one vector to hazard logits; the network of pathology alone."""

    def __init__(self, config: PORPOISEConfig, widths: Widths) -> None:
        super().__init__()
        self.pool = PatchPooling(config, widths.patch["P"], 0.0)
        self.head = nn.Linear(config.hidden, widths.intervals)
        xavier_normal_(self)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags."""
        logits: Tensor = self.head(self.pool(batch.bags("P")))
        return logits


class PORPOISENet(nn.Module):
    """Patches and genes to one vector each to hazard logits."""

    def __init__(self, config: PORPOISEConfig, widths: Widths) -> None:
        super().__init__()
        width = config.width
        columns = gene_columns(widths, "G")
        if config.repeat_genes:
            groups = widths.groups["G"].values()
            columns = torch.tensor([column for group in groups for column in group])
        self.columns: Tensor
        self.register_buffer("columns", columns, persistent=False)
        self.pool = PatchPooling(config, widths.patch["P"], config.input_dropout)
        self.rho = dense_block(config.hidden, width, config.dropout)
        blocks = snn_blocks if config.gene_net == "snn" else mlp_blocks
        self.genes = blocks(len(columns), (width, width), dropout=config.dropout)
        self.fuse = fusion_of(
            config.fusion,
            width,
            gates=(config.gate_path, config.gate_gene),
            skip=config.skip,
            scales=(config.scale_path, config.scale_gene),
            dropout=config.dropout,
            encoder_dropout=0.0,
            bilinear_gate=config.bilinear_gate,
        )
        self.head = nn.Linear(width, widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch of B patients who have both."""
        logits: Tensor = self.head(self.fuse(*self.vectors(batch)))
        return logits

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors (B, H) of patches and of genes."""
        gene = batch.genes("G").values[:, self.columns]
        return self.rho(self.pool(batch.bags("P"))), self.genes(gene)


def penalised(net: nn.Module, part: str) -> nn.Module:
    """What the L1 term counts: gene network and fusion ('pathomic'), or the former alone."""
    whole = cast("PORPOISENet", net)
    return nn.ModuleList([whole.genes] if part == "omic" else [whole.genes, whole.fuse])


class PORPOISE(NeuralMethod):
    """Pathology-omics fusion; see the module docstring."""

    uses = frozenset({"P", "G"})
    fill: str | None = "zero"
    resumes = True
    Config = PORPOISEConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"hidden": 64, "attention": 64, "width": 64, "epochs": 10, "lr": 1e-3},
        "paper": {"sampler": "balanced", "l1": 32e-5},  # its multimodal commands
        "command_line": {
            "sampler": "balanced",
            "l1": 32e-5,
            "gate_path": False,
            "gate_gene": False,
            "skip": False,
            "input_dropout": 0.0,
        },  # what these commands run, since they pass none of the flags
    }

    def declare(self) -> None:
        """Patches alone, with nothing to fill, where it is AMIL."""
        if self.config.use == "P":
            self.uses, self.fill = frozenset({"P"}), None

    def build(self, widths: Widths) -> nn.Module:
        """MMF or AMIL for the cohort's patches, and genes."""
        return (AMILNet if self.config.use == "P" else PORPOISENet)(self.config, widths)

    def stages(self) -> list[Stage]:
        """One stage by the recipe, with the L1 term where it is on."""
        weight = 0.0 if self.config.use == "P" else self.config.l1
        return with_l1(super().stages(), weight, lambda net: penalised(net, self.config.l1_on))
