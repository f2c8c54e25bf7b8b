"""HFBSurv: factorised bilinear products within each modality, then between attended ones.

Source: Li, Wu, Li & Wang, HFBSurv, Bioinformatics 2022, with its code.
    Original: vectors of width 80 to the code (encoders, products, attention scalars, pair weights,
    head), which is all of `HierarchicalFusion`. Adapted: what makes the vectors, norm, hazards.
Missing modality: no mechanism; zero genes, or one zero patch, stand in (`*` in every table) and
    become one constant vector. `absent=drop`, ours, leaves what is absent out of all sums, and
    needs no filling in, neither in training nor in prediction.
Departs: the original reads three selected vectors: expression, pathology and copy number. Here
    every modality of the cohort is one: bags by MCAT's gated attention pooling and a dense layer;
    genes, copy number among them, by one SNN block over the union of the groups (six in TCGA, any
    number here; a gene in several enters once) and a dense layer. Two modalities have one pair, of
    weight 1. The third modality is attended by its own vector, where the official code takes the
    first one's (`official_third`); its two unused layers are left out. LayerNorm instead of
    BatchNorm, so that nobody's risk depends on company. Discrete hazards instead of a Cox log-risk;
    6 sigmoid - 3 around it is left out, since it would hold hazards within 0.05 to 0.95. Batches of
    32 and 20 epochs as the other baselines instead of 100 steps of all patients (preset `paper`);
    its L1 of 3e-3 (`l1`) is off, since it would rule the larger network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from survbench.learn import Batch, NeuralMethod, Recipe, Stage, Widths
from survbench.learn.bilinear import FactorisedProduct
from survbench.learn.dropout import Dropout
from survbench.learn.penalty import with_l1
from survbench.learn.vectors import VectorStems
from survbench.method import ALL

THIRD = 2


@dataclass(frozen=True)
class HFBSurvConfig(Recipe):
    """Hyperparameters; fusion and optimiser as the official code, encoders and steps as MCAT's."""

    lr: float = 1.2e-4  # official code
    weight_decay: float = 1e-6  # official code
    hidden: int = 256  # width of patch tokens and of the gene block; adapted
    encoder_dropout: float = 0.25  # tokens, attention and gene block; adapted
    vector: int = 80  # width of the vector of a modality; official code
    width: int = 50  # H, width of an encoded modality; official code
    intra: int = 20  # outputs of the product within a modality; official code
    inter: int = 20  # outputs of the product of two; official code
    rank: int = 20  # of both; official code
    product_dropout: float = 0.1  # official code
    head: tuple[int, ...] = (256, 64)  # official code; the last is the patient's code
    dropout: float = 0.3  # of the head; official code
    shared_inter: bool = True  # one projection for all modalities, as the official code
    official_third: bool = False  # True: the first vector in place of the third, official code
    absent: str = "fill"  # 'drop': absent modalities are left out of all sums
    l1: float = 0.0  # per optimiser step, on all parameters; official 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of({"absent": ("fill", "drop")})


def tanh_blocks(width: int, hidden: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Blocks Linear, tanh, Dropout, from `width` through the `hidden` widths."""
    return nn.Sequential(
        *(
            nn.Sequential(nn.Linear(before, after), nn.Tanh(), Dropout(dropout))
            for before, after in pairwise([width, *hidden])
        )
    )


class HierarchicalFusion(nn.Module):
    """Vectors of M modalities, products within them, products of pairs, and an MLP to a code.

    Parameters
    ----------
    config
        Sizes and options.
    vectors
        Width of each of the M vectors.
    norm
        Makes the normalisation of what is fused; the original's is BatchNorm.
    """

    def __init__(
        self,
        config: HFBSurvConfig,
        vectors: Sequence[int],
        norm: Callable[[int], nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        inner, joined = config.width, config.width + config.intra
        self.encoders = nn.ModuleList(tanh_blocks(size, (inner, inner)) for size in vectors)
        self.intra = nn.ModuleList(nn.Linear(inner, config.intra * config.rank) for _ in vectors)
        self.intra_product = FactorisedProduct(config.intra, config.rank, config.product_dropout)
        self.attend = nn.Linear(joined, 1)
        inters = 1 if config.shared_inter else len(vectors)
        self.inter = nn.ModuleList(
            nn.Linear(joined, config.inter * config.rank) for _ in range(inters)
        )
        self.inter_product = FactorisedProduct(config.inter, config.rank, config.product_dropout)
        self.norm = norm(joined + config.inter)
        self.head = tanh_blocks(joined + config.inter, config.head, config.dropout)
        source = list(range(len(vectors)))
        if config.official_third:
            source[THIRD:] = [0 if place == THIRD else place for place in source[THIRD:]]
        self.source = source
        pairs = torch.tensor(list(combinations(range(len(vectors)), 2)), dtype=torch.long)
        self.pairs: Tensor
        self.register_buffer("pairs", pairs.reshape(-1, 2), persistent=False)

    def encode(self, vectors: Sequence[Tensor]) -> Tensor:
        """Encoded modalities (B, M, H) of M vectors, (B, its width) each."""
        encoded = [net(vector) for net, vector in zip(self.encoders, vectors, strict=True)]
        return torch.stack(encoded, dim=1)

    def within(self, encoded: Tensor) -> Tensor:
        """Products (B, M, intra) of each encoded modality (B, M, H) with itself."""
        parts = zip(self.intra, encoded.unbind(dim=1), strict=True)
        projected = torch.stack([project(part) for project, part in parts], dim=1)
        product: Tensor = self.intra_product(projected, projected)
        return product

    def between(self, attended: Tensor) -> Tensor:
        """Products (B, pairs, inter) of attended modalities (B, M, J), in the order of `pairs`."""
        if len(self.inter) == 1:
            projected = self.inter[0](attended)
        else:
            parts = zip(self.inter, attended.unbind(dim=1), strict=True)
            projected = torch.stack([project(part) for project, part in parts], dim=1)
        first, second = projected[:, self.pairs].unbind(dim=2)
        product: Tensor = self.inter_product(first, second)
        return product

    def pair_weights(self, score: Tensor, attended: Tensor, present: Tensor) -> Tensor:
        """Weights (B, pairs): of two strong and unlike modalities most; 0 where one is absent."""
        alike = attended.softmax(dim=-1)  # over the entries of a vector, as the official code
        first, second = alike[:, self.pairs].unbind(dim=2)
        raw = score[:, self.pairs].sum(dim=2) / ((first * second).sum(dim=-1) + 0.5)
        both = present[:, self.pairs].all(dim=2)
        lowest = torch.finfo(raw.dtype).min
        return raw.masked_fill(~both, lowest).softmax(dim=1) * both

    def attended(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Attention (B, M) and attended modalities (B, M, J) of encoded ones (B, M, H)."""
        joined = torch.cat([encoded, self.within(encoded)], dim=2)
        score = self.attend(joined)[..., 0].sigmoid()
        return score, score[..., None] * joined[:, self.source]

    def fuse(self, encoded: Tensor, present: Tensor) -> Tensor:
        """Sum of attended modalities and weighted sum of pairs, (B, J + inter)."""
        score, attended = self.attended(encoded)
        weight = self.pair_weights(score, attended, present)
        alone = (attended * present[..., None]).sum(dim=1)
        pairs = (weight[..., None] * self.between(attended)).sum(dim=1)
        return torch.cat([alone, pairs], dim=1)

    def forward(self, vectors: Sequence[Tensor], present: Tensor) -> Tensor:
        """Codes (B, head[-1]) of M vectors and who has what, (B, M)."""
        code: Tensor = self.head(self.norm(self.fuse(self.encode(vectors), present)))
        return code


class HFBSurvNet(nn.Module):
    """Modalities to one vector each to a code to hazard logits."""

    def __init__(self, config: HFBSurvConfig, widths: Widths) -> None:
        super().__init__()
        self.vectors = VectorStems(
            widths, config.vector, hidden=config.hidden, dropout=config.encoder_dropout
        )
        self.fusion = HierarchicalFusion(config, [config.vector] * len(widths.order))
        self.head = nn.Linear(config.head[-1], widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch of B patients with some of M modalities."""
        vector, present = self.vectors(batch)  # (B, M, E), (B, M)
        logits: Tensor = self.head(self.fusion(vector.unbind(dim=1), present))
        return logits


class HFBSurv(NeuralMethod):
    """Hierarchical factorised bilinear fusion; see the module docstring."""

    uses = ALL
    fill: str | None = "zero"
    resumes = True
    Config = HFBSurvConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"hidden": 64, "lr": 1e-3},
        "paper": {"epochs": 100, "batch": 100_000},  # all patients at once
    }

    def declare(self) -> None:
        """With `drop`, nothing is filled and anything may be absent."""
        if self.config.absent == "drop":
            self.tolerates, self.trains_without, self.fill = ALL, ALL, None

    def build(self, widths: Widths) -> nn.Module:
        """HFBSurv for the cohort's modalities."""
        return HFBSurvNet(self.config, widths)

    def stages(self) -> list[Stage]:
        """One stage by the recipe, with the L1 term where it is on."""
        return with_l1(super().stages(), self.config.l1)
