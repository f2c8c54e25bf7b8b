"""Clustering-constrained attention over patches: what its one- and many-branch forms share.

Letters: T patches of n bags, R attention branches, K hazards, H token width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from survbench.learn.batch import BagBatch, Batch, Widths
from survbench.learn.dropout import Dropout
from survbench.learn.instances import instance_loss
from survbench.learn.losses import nll_surv
from survbench.learn.neural import NeuralMethod
from survbench.learn.pooling import BranchScore
from survbench.learn.trainer import Recipe

__all__ = ["Attended", "ClusteringConfig", "ClusteringMIL", "ClusteringNet"]

CHOICES = {"instance_loss": ("off", "bin", "bin_all"), "instance_kind": ("ce", "svm")}


@dataclass(frozen=True)
class ClusteringConfig(Recipe):
    """Hyperparameters; network of CLAM's code ("small"), recipe of MCAT's."""

    hidden: int = 512  # H, width of a token; CLAM's code
    attention: int = 256  # width of the attention halves; CLAM's code, 384 in its "big"
    gated: bool = True  # CLAM's code; False is the plain form of attention
    dropout: float = 0.25  # after the embedding and in both halves; CLAM's README
    instance_loss: str = "off"  # off | bin (deaths alone) | bin_all (censored too): ours, no source
    instance_kind: str = "ce"  # ce: default of CLAM's code | svm: smooth top-1 SVM, its README
    subtyping: bool = True  # intervals exclude each other, as CLAM's subtypes do
    k_sample: int = 8  # patches taken for each end of the attention; CLAM's code
    bag_weight: float = 0.7  # of the likelihood, the rest is of the instances; CLAM's code
    overlap: bool = False  # True: a patch of a short bag may be at both ends; CLAM's code

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of(CHOICES)
        self.at_least({"k_sample": 1})


@dataclass
class Attended:
    """Tokens (T, H), their weights (T, R) and the vectors (n, R, H) they make of each bag."""

    token: Tensor
    weight: Tensor
    pooled: Tensor


class ClusteringNet(nn.Module):
    """Patches to tokens to one vector per branch to hazard logits.

    Parameters
    ----------
    config
        Sizes.
    widths
        Of the cohort.
    branches
        R: 1, where one vector gives all logits, or K, where vector k gives logit k alone.
    """

    def __init__(self, config: ClusteringConfig, widths: Widths, branches: int) -> None:
        super().__init__()
        hidden, intervals = config.hidden, widths.intervals
        self.embed = nn.Sequential(
            nn.Linear(widths.patch["P"], hidden), nn.ReLU(inplace=True), Dropout(config.dropout)
        )
        self.attend = BranchScore(
            hidden, config.attention, branches, gated=config.gated, dropout=config.dropout
        )
        self.head = nn.Linear(hidden, intervals)
        self.instance = (
            None if config.instance_loss == "off" else nn.Linear(hidden, 2 * intervals)
        )  # K classifiers of two classes, one behind the other

    def attended(self, bags: BagBatch) -> Attended:
        """Tokens, weights and pooled vectors of ragged bags."""
        token = self.embed(bags.features)  # (T, H)
        weight = self.attend.weights(token, bags)  # (T, R)
        pooled = [bags.sum(column[:, None] * token) for column in weight.unbind(1)]
        return Attended(token, weight, torch.stack(pooled, dim=1))

    def logits(self, pooled: Tensor) -> Tensor:
        """Hazard logits (n, K) of pooled vectors (n, R, H); the only one serves every k."""
        logits: Tensor = (pooled * self.head.weight).sum(dim=2) + self.head.bias
        return logits

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, (T, D) in all."""
        return self.logits(self.attended(batch.bags("P")).pooled)

    def instance_logits(self, token: Tensor) -> Tensor:
        """Logits (T, K, 2) of the instance classifiers."""
        if self.instance is None:
            msg = "a net built with instance_loss='off' has no instance classifiers"
            raise ValueError(msg)
        logits: Tensor = self.instance(token).unflatten(1, (-1, 2))
        return logits


class ClusteringMIL(NeuralMethod):
    """A method whose net is a `ClusteringNet`: adds the instance loss where it is asked for."""

    uses = frozenset({"P"})
    resumes = True
    Config = ClusteringConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"hidden": 128, "attention": 64, "lr": 1e-3},
        "big": {"attention": 384},  # of CLAM's code
        "motcat": {"hidden": 256, "attention": 256},  # "small" of MOTCat's copy
    }

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Likelihood (B,), and the loss of the instances under the label of the interval."""
        config = cast("ClusteringConfig", self.config)
        if config.instance_loss == "off":
            return super().loss(net, batch)
        clam, bags, (interval, event) = cast("ClusteringNet", net), batch.bags("P"), batch.outcome
        seen = clam.attended(bags)
        instances = instance_loss(
            clam.instance_logits(seen.token),
            seen.weight,
            bags,
            interval,
            sample=config.k_sample,
            subtyping=config.subtyping,
            kind=config.instance_kind,
            overlap=config.overlap,
        )
        if config.instance_loss == "bin":
            instances = instances * event  # the interval of death of the censored is unknown
        bag = nll_surv(clam.logits(seen.pooled), interval, event, alpha=config.alpha)
        return config.bag_weight * bag + (1 - config.bag_weight) * instances
