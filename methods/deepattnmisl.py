"""DeepAttnMISL: attention over the mean patches of phenotype clusters; pathology only.

Source: Yao et al., Whole slide images based cancer survival prediction, Medical Image Analysis
    2020; default network: MCAT's discrete-time form, one phenotype net for each cluster.
Missing modality: no mechanism; without P there is no prediction, without G nothing changes.
Departs: MCAT reads cluster ids made in an unknown way; since each has a net of its own they must
    mean the same in all patients, so one k-means is fitted on standardised patches of the training
    patients, saved with the fit, and every patch belongs to the nearest centre (original: a k-means
    of each patient). A cluster without patches takes no part in the attention, as in the original
    (`mask_empty=False`: as MCAT, a zero vector with attention). `form=original` has the first
    network, one layer shared by all clusters, but discrete hazards for its Cox log-risk, so that a
    patient's loss needs no others and there are survival curves; its chunks of 16 and its L1 term
    (there of two tensors by a slip, here of all) are in preset `original`, without its early
    stopping. `form=deepsets` is what SurvPath's tables call DeepMISL: a sum over patches, no
    clusters and no attention, so that its logits grow with the bag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from survbench.cohort import Bags, Cohort
from survbench.learn import BagBatch, Batch, NeuralMethod, Recipe, Stage, Widths
from survbench.learn.clusters import Assignment, Centres, cluster_means
from survbench.learn.penalty import with_l1
from survbench.learn.pooling import AttentionScore
from survbench.learn.snn import dense_block

FORMS = ("mcat", "original", "deepsets")


@dataclass(frozen=True)
class DeepAttnMISLConfig(Recipe):
    """Hyperparameters; network and recipe are those of MCAT's code."""

    form: str = "mcat"  # mcat | original (shared phenotype layer) | deepsets (SurvPath's DeepMISL)
    clusters: int = 10  # C, phenotypes; both codes
    patches: int = 100  # of a training patient, at most, that k-means sees; ours
    hidden: int = 512  # H, width of a phenotype; MCAT's code, the original has 64
    attention: int = 256  # width of the attention halves; MCAT's code, the original has 32
    rho: int = 256  # width of the dense layer after pooling; MCAT's code, the original has 32
    dropout: float = 0.25  # of all layers but the head; MCAT's code, the original has 0.5 after rho
    mask_empty: bool = True  # the original; MCAT's code pools empty clusters too
    l1: float = 0.0  # weight of the L1 norm of all parameters; the original has 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of({"form": FORMS})
        self.at_least({"clusters": 1, "patches": 1})


@dataclass
class Phenotypes:
    """Clusters of n patients on their way to hazards.

    `mean` (n, C, H) is zero where a cluster is empty, `present` (n, C) says which is not, and
    `score` and `weight` (n, C) are their attention, before and after the softmax.
    """

    mean: Tensor
    present: Tensor
    score: Tensor
    weight: Tensor
    pooled: Tensor
    logits: Tensor


class DeepAttnMISLNet(nn.Module):
    """Patches to phenotypes to the mean of each cluster to one patient vector to hazard logits."""

    def __init__(
        self, config: DeepAttnMISLConfig, widths: Widths, centres: Centres | None = None
    ) -> None:
        super().__init__()
        self.clusters, self.mask_empty = config.clusters, config.mask_empty
        width, hidden, drop = widths.patch["P"], config.hidden, config.dropout
        self.assign = Assignment(config.clusters, width, centres)
        self.embed: nn.Module = nn.Identity()
        if config.form == "original":
            self.phenotype = nn.ModuleList([nn.Sequential(nn.Linear(width, hidden), nn.ReLU())])
            self.attend = AttentionScore(hidden, config.attention, gated=False, dropout=0.0)
        else:
            self.phenotype = nn.ModuleList(
                nn.Sequential(*dense_block(width, hidden, drop), *dense_block(hidden, hidden, drop))
                for _ in range(config.clusters)
            )
            self.embed = dense_block(hidden, hidden, drop)
            self.attend = AttentionScore(hidden, config.attention, dropout=drop)
        self.rho = dense_block(hidden, config.rho, drop)
        self.head = nn.Linear(config.rho, widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, (T, D) in all."""
        bags = batch.bags("P")
        return self.read(bags, self.assign(bags.features)).logits

    def read(self, bags: BagBatch, cluster: Tensor) -> Phenotypes:
        """Everything made of bags whose patches belong to these clusters (T,)."""
        value = self._phenotypes(bags.features, cluster)  # (T, H)
        mean, present = cluster_means(value, cluster, bags, self.clusters)
        token = self.embed(mean)  # (n, C, H)
        score = self.attend(token)  # (n, C)
        masked = score.masked_fill(~present, -torch.inf) if self.mask_empty else score
        weight = masked.softmax(dim=1)
        pooled = (weight[..., None] * token).sum(dim=1)  # (n, H)
        logits = self.head(self.rho(pooled))
        return Phenotypes(mean, present, score, weight, pooled, logits)

    def _phenotypes(self, patch: Tensor, cluster: Tensor) -> Tensor:
        """Phenotype (T, H) of each patch, by the net of its cluster or by the shared one."""
        if len(self.phenotype) == 1:
            shared: Tensor = self.phenotype[0](patch)
            return shared
        order = cluster.argsort(stable=True)
        count = cluster.bincount(minlength=self.clusters).tolist()
        parts = zip(self.phenotype, patch[order].split(count), strict=True)
        value = torch.cat([phenotype(part) for phenotype, part in parts])
        return torch.zeros_like(value).index_copy(0, order, value)


class DeepSetsNet(nn.Module):
    """Patches to tokens, their sum, one dense layer, hazard logits."""

    def __init__(self, config: DeepAttnMISLConfig, widths: Widths) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(widths.patch["P"], config.hidden), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(config.hidden, config.rho), nn.ReLU())
        self.head = nn.Linear(config.rho, widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, (T, D) in all."""
        bags = batch.bags("P")
        logits: Tensor = self.head(self.rho(bags.sum(self.embed(bags.features))))
        return logits


class DeepAttnMISL(NeuralMethod):
    """Attention over phenotype clusters; see the module docstring."""

    uses = frozenset({"P"})
    resumes = True
    Config = DeepAttnMISLConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            "clusters": 4,
            "hidden": 128,
            "attention": 64,
            "rho": 64,
            "epochs": 10,
            "lr": 1e-3,
        },
        "original": {
            "form": "original",
            "hidden": 64,
            "attention": 32,
            "rho": 32,
            "dropout": 0.5,
            "l1": 1e-5,
            "lr": 1e-4,
            "weight_decay": 5e-4,
            "epochs": 100,
            "batch": 16,
        },  # of its authors' code
        "deepsets": {"form": "deepsets"},
    }
    centres: Centres | None = None

    def fit_cases(self, cohort: Cohort) -> None:
        """Cluster the training patches, then train the net."""
        config: DeepAttnMISLConfig = self.config
        if config.form != "deepsets":
            bags, seed = cast("Bags", cohort.modalities["P"]), self.stream("clusters")
            self.centres = Centres.fit(bags, config.clusters, patches=config.patches, seed=seed)
        super().fit_cases(cohort)

    def build(self, widths: Widths) -> nn.Module:
        """DeepAttnMISL for patches of the cohort's width."""
        if self.config.form == "deepsets":
            return DeepSetsNet(self.config, widths)
        return DeepAttnMISLNet(self.config, widths, self.centres)

    def stages(self) -> list[Stage]:
        """One stage, with the L1 term where it is asked for."""
        return with_l1(super().stages(), self.config.l1)
