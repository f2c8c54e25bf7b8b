"""SurvPath: one sparse attention between gene groups and patches; pathology and genomics.

Source: Jaume et al., Modeling Dense Multimodal Interactions, CVPR 2024, with its code; six
    functional gene groups stand in for its 331 pathways, as MUST runs it.
Missing modality: no mechanism; zero genes, or one zero patch, stand in (`*` in every table). The
    number of zero patches would matter, since patches compete with gene groups for attention.
Departs: z-scored groups of RNA, copy number and mutations instead of RNA scaled to (-1, 1) by one
    global range; whole bags without padding, where the official code trains on 4,096 random patches
    and lets the zero rows behind shorter bags into keys and mean; optimiser, lr, epochs and batch
    are MUST's, since the official scripts search a grid (`official`: one point of it); balanced
    sampling is off (on in `official`), since it changes the prior of the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.learn import BagBatch, Batch, NeuralMethod, Recipe, Widths
from survbench.learn.dropout import Dropout
from survbench.learn.snn import GroupSNN


@dataclass(frozen=True)
class SurvPathConfig(Recipe):
    """Hyperparameters; network as the official code, recipe as MUST's supplement."""

    width: int = 256  # H, width of a token; attention has half of it, the head's layer a quarter
    gene_dropout: float = 0.25  # official code
    dropout: float = 0.1  # of the feed-forward block; official code
    epochs: int = 30  # MUST
    batch: int = 1  # MUST and official code
    lr: float = 1e-3  # MUST
    alpha: float = 0.5  # official scripts; MUST is silent


class PathwayAttention(nn.Module):
    """One head over gene groups and patches that leaves out what patches read from patches.

    Gene groups read everything, patches only gene groups: memory grows with the number of patches,
    not with its square. No residual and no output projection.

    Parameters
    ----------
    width
        H, width of a token.
    inner
        E, width of queries, keys and values.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * inner, bias=False)

    def forward(self, gene: Tensor, patch: Tensor, bags: BagBatch) -> tuple[Tensor, Tensor]:
        """What groups (B, M, H) and patches (T, H) of B bags read: (B, M, E) and (T, E)."""
        gene_q, gene_k, gene_v = self.project(gene)
        padded, real = bags.padded(torch.cat(self.project(patch), dim=-1))
        q, k, v = padded.chunk(3, dim=-1)  # (B, L, E)
        visible = None
        if not bags.even:
            visible = functional.pad(real, (gene.shape[1], 0), value=True)[:, None]  # (B, 1, M + L)
        gene_read = functional.scaled_dot_product_attention(
            gene_q, torch.cat([gene_k, k], dim=1), torch.cat([gene_v, v], dim=1), attn_mask=visible
        )
        patch_read = functional.scaled_dot_product_attention(q, gene_k, gene_v)
        return gene_read, bags.unpadded(patch_read)

    def project(self, token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (..., E) of tokens (..., H)."""
        q, k, v = self.qkv(self.norm(token)).chunk(3, dim=-1)
        return q, k, v


class SurvPathNet(nn.Module):
    """Gene groups and patches to tokens to their means to hazard logits."""

    def __init__(self, config: SurvPathConfig, widths: Widths) -> None:
        super().__init__()
        width, inner = config.width, config.width // 2
        self.gene = GroupSNN(widths.groups["G"], (width, width), dropout=config.gene_dropout)
        self.patch = nn.Linear(widths.patch["P"], width)
        self.attend = PathwayAttention(width, inner)
        self.feed = nn.Sequential(
            nn.LayerNorm(inner),
            nn.Linear(inner, inner),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(inner, inner),
        )
        self.norm = nn.LayerNorm(inner)
        self.head = nn.Sequential(
            nn.Linear(2 * inner, width // 4), nn.ReLU(), nn.Linear(width // 4, widths.intervals)
        )

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, and whose G is B patients."""
        bags = batch.bags("P")
        gene, patch = self.gene(batch.genes("G")), self.patch(bags.features)  # (B, M, H), (T, H)
        gene, patch = self.attend(gene, patch, bags)
        gene, patch = self.norm(self.feed(gene)), self.norm(self.feed(patch))
        patient = torch.cat([gene.mean(dim=1), bags.mean(patch)], dim=1)  # (B, 2 E)
        logits: Tensor = self.head(patient)
        return logits


class SurvPath(NeuralMethod):
    """Sparse attention between gene groups and patches; see the module docstring."""

    uses = frozenset({"P", "G"})
    fill = "zero"
    resumes = True
    Config = SurvPathConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 64, "epochs": 10, "batch": 8},  # in batches, else minutes
        "official": {
            "optimiser": "radam",
            "lr": 5e-4,
            "weight_decay": 1e-3,
            "epochs": 5,
            "schedule": "cosine_warmup",
            "sampler": "balanced",
        },  # its scripts search lr 5e-5 to 1e-3 and decay 1e-5 to 1e-2, 2 to 5 epochs
    }

    def build(self, widths: Widths) -> nn.Module:
        """SurvPath for the cohort's patches and gene groups."""
        return SurvPathNet(self.config, widths)
